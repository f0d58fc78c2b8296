// POST /v1/responses and POST /v1/responses/input_tokens
#include <boost/json/serialize.hpp>
#include <chrono>
#include <utility>

#include "api/openai/call.h"
#include "api/openai/errors.h"
#include "api/openai/responses/fit.h"
#include "api/openai/responses/read_create.h"
#include "api/openai/responses/responses.h"
#include "api/openai/responses/writer.h"
#include "api/wire/key_of.h"
#include "api/wire/names.h"
#include "base/unix_time.h"
#include "service/prompt.h"

namespace pippin::api::openai::responses {
namespace {

/// A create request on its way.
struct Creation {
  const Context& context;
  std::shared_ptr<Exchange> exchange;
  std::shared_ptr<Runs> runs;
  CreateCall call;
  Frame frame;
};

History history_of(const Context& context, const Exchange& exchange) {
  return History(context.responses, key_of(exchange));
}

std::optional<WireError> problem(const FieldReader& reader, const CreateCall& call) {
  if (!reader.ok()) return wire_error(*reader.error());
  if (call.not_found) return wire_error(*call.not_found);
  return std::nullopt;
}

// Decides whether the response is kept. What was not asked for in so many words is left out with a
// warning where it cannot be done.
std::optional<Error> decide_store(Creation& creation) {
  const bool asked = creation.call.store == true || creation.call.background;
  creation.frame.store = creation.call.store.value_or(true);
  if (!creation.frame.store) return std::nullopt;
  service::ResponseStore* store = creation.context.responses;
  if (store == nullptr) {
    creation.frame.store = false;
    if (!asked) return std::nullopt;
    return fail(Code::kUnsupported, "Responses are not kept here: the server runs without a store.",
                creation.call.background ? "background" : "store");
  }
  const Result<void> open = store->open();
  if (open.ok()) return std::nullopt;
  if (asked) return open.error();
  creation.frame.store = false;
  creation.frame.warnings.push_back({"not_stored", "store", open.error().message});
  return std::nullopt;
}

service::StoredResponse stored_form(const Creation& creation) {
  service::StoredResponse stored;
  stored.id = creation.frame.id;
  stored.key_id = key_of(*creation.exchange);
  if (const auto& caller = creation.exchange->request().caller)
    stored.key_bytes_max = caller->permissions().storage_bytes;
  stored.previous_id = creation.call.previous_response_id;
  stored.input_json = boost::json::serialize(creation.call.input);
  return stored;
}

WriterOptions writer_options(const Creation& creation, Keep keep) {
  const CreateCall& call = creation.call;
  WriterOptions options;
  options.frame = creation.frame;
  options.tools = call.tools;
  options.streams = call.stream || call.background;
  // What a background response streams is kept as it is; who follows it adds the marker.
  options.done_marker = !call.background && wants_done_marker(*creation.exchange);
  options.background = call.background;
  options.show_reasoning = call.show_reasoning;
  options.summary = call.summary;
  options.encrypted = call.encrypted;
  options.keep = std::move(keep);
  return options;
}

void start_in_foreground(Creation& creation, std::unique_ptr<service::Generation> generation) {
  Keep keep;
  if (creation.frame.store) {
    keep = [store = creation.context.responses, stored = stored_form(creation)](
               const std::string& body, bool ended) mutable {
      if (!ended) return Result<void>();
      stored.body_json = body;
      return store->put(stored);
    };
  }
  Answer::start(creation.context, creation.exchange, std::move(generation),
                response_writer(writer_options(creation, std::move(keep))));
}

// Tries again until the store takes the end of a response, which would be in progress for ever.
void keep_later(const Context& context, const std::shared_ptr<Run>& run,
                const service::StoredResponse& stored) {
  if (context.alarm == nullptr) return;
  context.alarm->in(std::chrono::seconds(1), [&context, run, stored] {
    const bool posted = context.workers.post([&context, run, stored] {
      if (!run->discarded() && !context.responses->put(stored).ok())
        keep_later(context, run, stored);
    });
    if (!posted) keep_later(context, run, stored);
  });
}

void start_in_background(Creation& creation, std::unique_ptr<service::Generation> generation) {
  service::StoredResponse stored = stored_form(creation);
  Progress queued;
  queued.status = "queued";
  service::JsonWriter json(stored.body_json);
  write_response(json, creation.frame, queued);
  stored.pending = true;
  service::ResponseStore* store = creation.context.responses;
  if (const Result<void> put = store->put(stored); !put.ok())
    return creation.exchange->respond(error_response(put.error()));
  const auto run = std::make_shared<Run>(stored.body_json, stored.key_id);
  const std::string body = stored.body_json;
  Keep keep = [&context = creation.context, run, stored](const std::string& now,
                                                         bool ended) mutable {
    run->update(now);
    stored.body_json = now;
    stored.pending = !ended;
    if (run->discarded()) return Result<void>();
    Result<void> put = context.responses->put(stored);
    if (!put.ok() && ended) keep_later(context, run, stored);
    return put;
  };
  creation.runs->add(creation.frame.id, run);
  Answer::start(creation.context, Run::exchange_of(run, creation.context.background->begin()),
                std::move(generation), response_writer(writer_options(creation, std::move(keep))));
  if (creation.call.stream) return follow(creation.context, creation.exchange, run, 0);
  creation.exchange->respond({200, "application/json", body, {}});
}

// A client that streams, an agent, acts on a prompt that has grown too long only where the stream
// tells of it.
void fail_in_stream(Creation& creation, const Error& error) {
  creation.call.background = false;
  creation.frame.store = false;
  const std::unique_ptr<AnswerWriter> writer = response_writer(writer_options(creation, nullptr));
  std::string bytes;
  writer->begin(bytes);
  writer->abort(error, bytes);
  creation.exchange->start_stream({200, "text/event-stream", {}, {{"cache-control", "no-cache"}}});
  creation.exchange->write(bytes);
  creation.exchange->finish();
}

void start(Creation creation, service::ModelLease model) {
  CreateCall& call = creation.call;
  if (const std::optional<Error> error = decide_store(creation))
    return creation.exchange->respond(error_response(*error));
  if (call.truncate) {
    if (const Result<void> fitted = fit(*model, call.request); !fitted.ok())
      return creation.exchange->respond(error_response(fitted.error()));
  }
  Result<std::unique_ptr<service::Generation>> generation = service::Generation::start(
      std::move(model), std::move(call.request), creation.exchange->request().caller);
  if (!generation.ok()) {
    Error error = generation.error();
    if (error.param == "messages" || error.param == "prompt") error.param = "input";
    if (error.code == Code::kContextLength && call.stream) return fail_in_stream(creation, error);
    return creation.exchange->respond(error_response(error));
  }
  if (call.background) return start_in_background(creation, std::move(*generation));
  start_in_foreground(creation, std::move(*generation));
}

}  // namespace

Handler create(const Context& context, std::shared_ptr<Runs> runs) {
  const auto then = [&context, runs = std::move(runs)](std::shared_ptr<Exchange> exchange,
                                                       Call opened) {
    FieldReader reader(opened.body);
    Frame frame;
    frame.id = new_id("resp_");
    frame.created_unix_s = unix_now_s();
    frame.model = opened.model->id;
    CreateCall call = read_create(reader, *opened.model, history_of(context, *exchange),
                                  std::string(frame.id_end()) + "_in");
    if (const auto error = problem(reader, call)) return exchange->respond(error_response(*error));
    call.request.deadline = opened.deadline;
    frame.echo_json = call.echo_json;
    frame.warnings = call.warnings;
    start({context, std::move(exchange), runs, std::move(call), std::move(frame)},
          std::move(opened.model));
  };
  return with_call(context, then);
}

Handler count_input_tokens(const Context& context) {
  const auto then = [&context](const std::shared_ptr<Exchange>& exchange, const Call& opened) {
    FieldReader reader(opened.body);
    const CreateCall call =
        read_create(reader, *opened.model, history_of(context, *exchange), "in");
    if (const auto error = problem(reader, call)) return exchange->respond(error_response(*error));
    const Result<std::vector<service::Token>> tokens =
        service::prompt_tokens(*opened.model, call.request.prompts.front());
    if (!tokens.ok()) return exchange->respond(error_response(tokens.error()));
    Response response;
    service::JsonWriter json(response.body);
    json.begin_object().field("object", "response.input_tokens");
    json.field("input_tokens", static_cast<int64_t>(tokens->size())).end_object();
    exchange->respond(std::move(response));
  };
  return with_call(context, then);
}

}  // namespace pippin::api::openai::responses
