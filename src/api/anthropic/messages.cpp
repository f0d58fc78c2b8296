// POST /v1/messages and POST /v1/messages/count_tokens
#include <utility>

#include "api/anthropic/answer_message.h"
#include "api/anthropic/anthropic.h"
#include "api/anthropic/call.h"
#include "api/anthropic/errors.h"
#include "api/anthropic/read_message.h"
#include "api/anthropic/writer.h"
#include "api/wire/answer.h"
#include "service/prompt.h"

namespace pippin::api::anthropic {
namespace {

// The fields of this wire, where the house calls them otherwise.
Error renamed(Error error) {
  if (error.param == "prompt" || error.param == "continue_final_message") error.param = "messages";
  return error;
}

WriterOptions writer_options(const Exchange& exchange, std::shared_ptr<const Signer> seal,
                             MessageCall& call) {
  WriterOptions options;
  options.request_id = exchange.request().id;
  options.seal = std::move(seal);
  options.streams = call.stream;
  options.show_thinking = call.show_thinking;
  options.cache_marked = call.cache_marked;
  options.manages_context = call.manages_context;
  options.warnings = std::move(call.warnings);
  return options;
}

}  // namespace

namespace {

void answer(const Context& context, const std::shared_ptr<const Signer>& seal,
            std::shared_ptr<Exchange> exchange, Origin origin, Call opened) {
  FieldReader reader(opened.body);
  if (reader.any("thread") != nullptr)
    return exchange->respond(threads_refused(exchange->request().id));
  MessageCall call = read_message(reader, *opened.model, *seal);
  const bool batch = origin == Origin::kBatch;
  if (batch && call.stream)
    reader.wrong("stream", "Invalid 'stream': an answer in a batch cannot be streamed.");
  if (!reader.ok()) return refuse(*exchange, error_of(*reader.error()));
  if (batch) call.request.priority = engine::Priority::kLow;
  WriterOptions options = writer_options(*exchange, seal, call);
  options.batch = batch;
  Result<std::unique_ptr<service::Generation>> generation = service::Generation::start(
      std::move(opened.model), std::move(call.request), exchange->request().caller);
  if (!generation.ok()) return refuse(*exchange, renamed(generation.error()));
  std::unique_ptr<AnswerWriter> writer = message_writer(**generation, std::move(options));
  Answer::start(context, std::move(exchange), std::move(*generation), std::move(writer));
}

void count(const Signer& seal, Exchange& exchange, const Call& opened) {
  FieldReader reader(opened.body);
  const MessageCall call = read_message(reader, *opened.model, seal, LimitField::kOptional);
  if (!reader.ok()) return refuse(exchange, error_of(*reader.error()));
  const Result<std::vector<service::Token>> tokens =
      service::prompt_tokens(*opened.model, call.request.prompts.front());
  if (!tokens.ok()) return refuse(exchange, renamed(tokens.error()));
  const auto tokens_count = static_cast<int64_t>(tokens->size());
  Response response;
  service::JsonWriter json(response.body);
  json.begin_object().field("input_tokens", tokens_count);
  if (call.manages_context) {
    json.key("context_management").begin_object();
    json.field("original_input_tokens", tokens_count).end_object();
  }
  json.end_object();
  exchange.respond(std::move(response));
}

}  // namespace

void answer_message(const Context& context, const std::shared_ptr<const Signer>& seal,
                    std::shared_ptr<Exchange> exchange, Origin origin) {
  open_call(context, std::move(exchange),
            [&context, seal, origin](std::shared_ptr<Exchange> ready, Call opened) {
              answer(context, seal, std::move(ready), origin, std::move(opened));
            });
}

Handler messages(const Context& context, std::shared_ptr<const Signer> seal) {
  return [&context, seal = std::move(seal)](std::shared_ptr<Exchange> exchange) {
    answer_message(context, seal, std::move(exchange), Origin::kClient);
  };
}

Handler count_tokens(const Context& context, std::shared_ptr<const Signer> seal) {
  return [&context, seal = std::move(seal)](std::shared_ptr<Exchange> exchange) {
    open_call(context, std::move(exchange),
              [seal](const std::shared_ptr<Exchange>& ready, const Call& opened) {
                count(*seal, *ready, opened);
              });
  };
}

}  // namespace pippin::api::anthropic
