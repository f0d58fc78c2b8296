// POST /v1/responses and POST /v1/responses/input_tokens
#include <boost/json/serialize.hpp>
#include <chrono>
#include <utility>

#include "api/openai/errors.h"
#include "api/openai/model_route.h"
#include "api/openai/responses/fit.h"
#include "api/openai/responses/read_create.h"
#include "api/openai/responses/responses.h"
#include "api/openai/responses/writer.h"
#include "api/shared/key_of.h"
#include "api/shared/names.h"
#include "base/alarm.h"
#include "base/unix_time.h"
#include "service/chat/prompt.h"
#include "service/storage/response_store.h"

namespace pippin::api::openai::responses {
namespace {

/// A response that is to be created.
struct Creation {
  ApiRequest request;
  std::shared_ptr<Runs> runs;
  CreateRequest asked;
  Frame frame;
};

History history_of(const Context& context, const Exchange& exchange) {
  return History(context.responses, key_of(exchange));
}

std::optional<ApiError> problem(const FieldReader& reader, const CreateRequest& asked) {
  if (!reader.ok()) return api_error(*reader.error());
  if (asked.not_found) return api_error(*asked.not_found);
  return std::nullopt;
}

// Decides whether the response is kept. What was not asked for in so many words is left out with a
// warning where it cannot be done.
std::optional<Error> decide_store(Creation& creation) {
  const bool asked = creation.asked.store == true || creation.asked.background;
  creation.frame.store = creation.asked.store.value_or(true);
  if (!creation.frame.store) return std::nullopt;
  service::ResponseStore* store = creation.request.context.responses;
  if (store == nullptr) {
    creation.frame.store = false;
    if (!asked) return std::nullopt;
    return fail(Code::kUnsupported, "Responses are not kept here: the server runs without a store.",
                creation.asked.background ? "background" : "store");
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
  stored.key_id = key_of(*creation.request.exchange);
  if (const auto& caller = creation.request.exchange->request().caller)
    stored.key_bytes_max = caller->permissions().storage_bytes;
  stored.previous_id = creation.asked.previous_response_id;
  stored.input_json = boost::json::serialize(creation.asked.input);
  return stored;
}

WriterOptions writer_options(const Creation& creation, Keep keep) {
  const CreateRequest& asked = creation.asked;
  WriterOptions options;
  options.frame = creation.frame;
  options.tools = asked.tools;
  options.streams = asked.stream || asked.background;
  // What a background response streams is kept as it is; who follows it adds the marker.
  options.done_marker = !asked.background && wants_done_marker(*creation.request.exchange);
  options.background = asked.background;
  options.show_reasoning = asked.show_reasoning;
  options.summary = asked.summary;
  options.encrypted = asked.encrypted;
  options.keep = std::move(keep);
  return options;
}

void start_in_foreground(Creation& creation, std::unique_ptr<service::Generation> generation) {
  Keep keep;
  if (creation.frame.store) {
    keep = [store = creation.request.context.responses, stored = stored_form(creation)](
               const std::string& body, bool ended) mutable {
      if (!ended) return Result<void>();
      stored.body_json = body;
      return store->put(stored);
    };
  }
  ResponseStream::start(creation.request.context, creation.request.exchange, std::move(generation),
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
  service::ResponseStore* store = creation.request.context.responses;
  if (const Result<void> put = store->put(stored); !put.ok())
    return creation.request.exchange->respond(error_response(put.error()));
  const auto run = std::make_shared<Run>(stored.body_json, stored.key_id);
  const std::string body = stored.body_json;
  Keep keep = [&context = creation.request.context, run, stored](const std::string& now,
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
  ResponseStream::start(
      creation.request.context, Run::exchange_of(run, creation.request.context.background->begin()),
      std::move(generation), response_writer(writer_options(creation, std::move(keep))));
  if (creation.asked.stream)
    return follow(creation.request.context, creation.request.exchange, run, 0);
  creation.request.exchange->respond({200, "application/json", body, {}});
}

// A client that streams, an agent, acts on a prompt that has grown too long only where the stream
// tells of it.
void fail_in_stream(Creation& creation, const Error& error) {
  creation.asked.background = false;
  creation.frame.store = false;
  const std::unique_ptr<ResponseWriter> writer = response_writer(writer_options(creation, nullptr));
  std::string bytes;
  writer->begin(bytes);
  writer->abort(error, bytes);
  creation.request.exchange->start_stream(
      {200, "text/event-stream", {}, {{"cache-control", "no-cache"}}});
  creation.request.exchange->write(bytes);
  creation.request.exchange->finish();
}

void start(Creation creation) {
  CreateRequest& asked = creation.asked;
  ApiRequest& request = creation.request;
  if (const std::optional<Error> error = decide_store(creation)) return request.respond(*error);
  if (asked.truncate) {
    if (const Result<void> fitted = fit(*request.model, asked.request); !fitted.ok())
      return request.respond(fitted.error());
  }
  Result<std::unique_ptr<service::Generation>> generation = service::Generation::start(
      std::move(request.model), std::move(asked.request), request.exchange->request().caller);
  if (!generation.ok()) {
    Error error = generation.error();
    if (error.param == "messages" || error.param == "prompt") error.param = "input";
    if (error.code == Code::kContextLength && asked.stream) return fail_in_stream(creation, error);
    return request.respond(error);
  }
  if (asked.background) return start_in_background(creation, std::move(*generation));
  start_in_foreground(creation, std::move(*generation));
}

void serve_create(const std::shared_ptr<Runs>& runs, ApiRequest request) {
  FieldReader reader(request.body);
  Frame frame;
  frame.id = new_id("resp_");
  frame.created_unix_s = unix_now_s();
  frame.model = request.model->id;
  CreateRequest asked =
      read_create(reader, *request.model, history_of(request.context, *request.exchange),
                  std::string(frame.id_end()) + "_in");
  if (const auto error = problem(reader, asked)) return request.respond(error_response(*error));
  asked.request.deadline = request.choice.deadline;
  frame.echo_json = asked.echo_json;
  frame.warnings = asked.warnings;
  start({std::move(request), runs, std::move(asked), std::move(frame)});
}

void serve_count(const ApiRequest& request) {
  FieldReader reader(request.body);
  const CreateRequest asked =
      read_create(reader, *request.model, history_of(request.context, *request.exchange), "in");
  if (const auto error = problem(reader, asked)) return request.respond(error_response(*error));
  const Result<std::vector<service::Token>> tokens =
      service::prompt_tokens(*request.model, asked.request.prompts.front());
  if (!tokens.ok()) return request.respond(tokens.error());
  Response response;
  service::JsonWriter json(response.body);
  json.begin_object().field("object", "response.input_tokens");
  json.field("input_tokens", static_cast<int64_t>(tokens->size())).end_object();
  request.respond(std::move(response));
}

}  // namespace

Handler create(const Context& context, std::shared_ptr<Runs> runs) {
  return model_route(context, [runs = std::move(runs)](ApiRequest request) {
    serve_create(runs, std::move(request));
  });
}

Handler count_input_tokens(const Context& context) { return model_route(context, serve_count); }

}  // namespace pippin::api::openai::responses
