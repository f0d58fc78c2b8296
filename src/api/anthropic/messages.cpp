// POST /v1/messages and POST /v1/messages/count_tokens
#include <utility>

#include "api/anthropic/anthropic.h"
#include "api/anthropic/errors.h"
#include "api/anthropic/model_route.h"
#include "api/anthropic/read_message.h"
#include "api/anthropic/writer.h"
#include "service/chat/prompt.h"

namespace pippin::api::anthropic {
namespace {

WriterOptions writer_options(const Exchange& exchange, std::shared_ptr<const Signer> signer,
                             MessageRequest& message, Origin origin) {
  WriterOptions options;
  options.request_id = exchange.request().id;
  options.signer = std::move(signer);
  options.streams = message.stream;
  options.batch = origin == Origin::kBatch;
  options.show_thinking = message.show_thinking;
  options.cache_marked = message.cache_marked;
  options.manages_context = message.manages_context;
  options.warnings = std::move(message.warnings);
  return options;
}

void serve_message(const std::shared_ptr<const Signer>& signer, Origin origin, ApiRequest request) {
  FieldReader reader(request.body);
  if (reader.any("thread") != nullptr)
    return request.respond(threads_refused(request.exchange->request().id));
  MessageRequest message = read_message(reader, *request.model, *signer);
  if (origin == Origin::kBatch) {
    if (message.stream)
      reader.wrong("stream", "Invalid 'stream': an answer in a batch cannot be streamed.");
    message.request.priority = engine::Priority::kLow;
  }
  auto generation = request.generate(reader, std::move(message.request));
  if (generation == nullptr) return;
  auto writer =
      message_writer(*generation, writer_options(*request.exchange, signer, message, origin));
  ResponseStream::start(request.context, std::move(request.exchange), std::move(generation),
                        std::move(writer));
}

void serve_count(const Signer& signer, const ApiRequest& request) {
  FieldReader reader(request.body);
  const MessageRequest message =
      read_message(reader, *request.model, signer, LimitField::kOptional);
  if (!reader.ok()) return request.respond(*reader.error());
  const Result<std::vector<service::Token>> tokens =
      service::prompt_tokens(*request.model, message.request.prompts.front());
  if (!tokens.ok()) return request.respond(tokens.error());
  const auto count = static_cast<int64_t>(tokens->size());
  Response response;
  service::JsonWriter json(response.body);
  json.begin_object().field("input_tokens", count);
  if (message.manages_context) {
    json.key("context_management").begin_object();
    json.field("original_input_tokens", count).end_object();
  }
  json.end_object();
  request.respond(std::move(response));
}

}  // namespace

Handler messages(const Context& context, std::shared_ptr<const Signer> signer, Origin origin) {
  return model_route(context, [signer = std::move(signer), origin](ApiRequest request) {
    serve_message(signer, origin, std::move(request));
  });
}

Handler count_tokens(const Context& context, std::shared_ptr<const Signer> signer) {
  return model_route(context, [signer = std::move(signer)](const ApiRequest& request) {
    serve_count(*signer, request);
  });
}

}  // namespace pippin::api::anthropic
