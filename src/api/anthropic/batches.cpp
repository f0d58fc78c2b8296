// /v1/messages/batches: many requests at once, answered when there is time.
#include <fmt/chrono.h>

#include <algorithm>
#include <set>
#include <utility>

#include "api/anthropic/anthropic.h"
#include "api/anthropic/batch_runner.h"
#include "api/anthropic/errors.h"
#include "api/anthropic/model_route.h"
#include "api/anthropic/page.h"
#include "api/shared/body.h"
#include "api/shared/key_of.h"
#include "api/shared/names.h"
#include "service/json.h"
#include "service/storage/batch_store.h"

namespace pippin::api::anthropic {
namespace {

using service::Batch;
using service::JsonWriter;

constexpr size_t kRequestsMax = 100'000;
constexpr size_t kCustomIdMax = 64;
constexpr int64_t kDayMs = 24 * 3600 * 1000;

void write_time(JsonWriter& json, std::string_view name, int64_t ms) {
  json.key(name);
  if (ms == 0) {
    json.null();
  } else {
    json.string(time_text(ms / 1000));
  }
}

// Until a batch has ended, all its requests count as being processed.
void write_counts(JsonWriter& json, const Batch& batch) {
  const bool ended = batch.ended_ms > 0;
  json.key("request_counts").begin_object();
  json.field("processing", ended ? 0 : batch.total);
  constexpr std::pair<const char*, service::BatchOutcome> kNames[] = {
      {"succeeded", service::BatchOutcome::kSucceeded},
      {"errored", service::BatchOutcome::kErrored},
      {"canceled", service::BatchOutcome::kCanceled},
      {"expired", service::BatchOutcome::kExpired}};
  for (const auto& [name, outcome] : kNames)
    json.field(name, ended ? batch.outcomes[static_cast<size_t>(outcome)] : int64_t{0});
  json.end_object();
}

void write_batch(JsonWriter& json, const Batch& batch) {
  const bool ended = batch.ended_ms > 0;
  json.begin_object().field("id", batch.id).field("type", "message_batch");
  json.field("processing_status", ended                    ? "ended"
                                  : batch.cancelled_ms > 0 ? "canceling"
                                                           : "in_progress");
  write_counts(json, batch);
  write_time(json, "created_at", batch.created_ms);
  write_time(json, "expires_at", batch.expires_ms);
  write_time(json, "cancel_initiated_at", batch.cancelled_ms);
  write_time(json, "ended_at", batch.ended_ms);
  json.key("archived_at").null().key("results_url");
  if (ended) {
    json.string("/v1/messages/batches/" + batch.id + "/results");
  } else {
    json.null();
  }
  json.end_object();
}

void respond(Exchange& exchange, const Result<Batch>& batch) {
  if (!batch.ok()) return refuse(exchange, batch.error());
  Response response;
  JsonWriter json(response.body);
  write_batch(json, *batch);
  exchange.respond(std::move(response));
}

std::vector<service::BatchRequest> read_requests(FieldReader& body) {
  std::vector<service::BatchRequest> requests;
  const boost::json::array* list = body.required_array("requests");
  if (list == nullptr) return requests;
  if (list->empty() || list->size() > kRequestsMax) {
    body.wrong("requests", "Invalid 'requests': 1 to " + std::to_string(kRequestsMax) +
                               " requests were expected.");
  }
  std::set<std::string_view> ids;
  for (size_t i = 0; i < list->size() && body.ok(); ++i) {
    const std::string path = "requests[" + std::to_string(i) + "]";
    const boost::json::object* object = (*list)[i].if_object();
    if (object == nullptr) {
      body.wrong_type(path, "an object", (*list)[i]);
      break;
    }
    FieldReader request(*object, path, body);
    const std::string_view id = request.required_string("custom_id").value_or("");
    const boost::json::object* params = request.required_object("params");
    if (!body.ok() || params == nullptr) break;
    if (!is_tool_name(id, kCustomIdMax) || !ids.insert(id).second) {
      request.wrong("custom_id",
                    "Invalid '" + request.path_of("custom_id") +
                        "': letters, digits, '_' and '-' were expected, at most 64, and none "
                        "that another request has.");
    }
    service::BatchRequest& kept = requests.emplace_back();
    kept.custom_id = id;
    JsonWriter(kept.params_json).value(*params);
  }
  return requests;
}

/// Wraps what needs the store and the runner.
template <typename Answer>
Handler with_store(const Context& context, std::shared_ptr<BatchRunner> runner, Answer answer) {
  return [&context, runner = std::move(runner), answer](std::shared_ptr<Exchange> exchange) {
    if (runner == nullptr) {
      return refuse(*exchange, fail(Code::kUnsupported,
                                    "Batches are not kept here: the server runs without a store."));
    }
    answer(*context.batches, *runner, *exchange);
    runner->kick();  // also what an earlier run of the program has left
  };
}

// The batch that a request names. Another key's is as good as none.
Result<Batch> named_batch(service::BatchStore& store, const Exchange& exchange) {
  const std::string& id = exchange.request().captures.front();
  Result<Batch> batch = store.get(id);
  if (!batch.ok()) return batch;
  const Request& request = exchange.request();
  if (authorise(request.caller.get(), request.rule, batch->key_id) == Verdict::kGranted)
    return batch;
  return fail(Code::kNotFound, "Message batch '" + id + "' not found.", "message_batch_id");
}

void send_results(service::BatchStore& store, Exchange& exchange) {
  const Result<Batch> batch = named_batch(store, exchange);
  if (!batch.ok()) return refuse(exchange, batch.error());
  const Result<std::vector<service::BatchResult>> results = store.results(batch->id);
  if (!results.ok()) return refuse(exchange, results.error());
  Response response;
  response.content_type = "application/x-jsonl";
  for (const service::BatchResult& result : *results) {
    JsonWriter json(response.body);
    json.begin_object().field("custom_id", result.custom_id);
    json.key("result").raw(result.result_json).end_object();
    response.body += '\n';
  }
  exchange.respond(std::move(response));
}

}  // namespace

Handler create_batch(const Context& context, std::shared_ptr<BatchRunner> runner) {
  return with_store(
      context, std::move(runner),
      [&context](service::BatchStore& store, BatchRunner&, Exchange& exchange) {
        const Result<boost::json::object> body = read_body(context, exchange.request());
        if (!body.ok()) return refuse(exchange, body.error());
        FieldReader reader(*body);
        const std::vector<service::BatchRequest> requests = read_requests(reader);
        if (!reader.ok()) return refuse(exchange, error_of(*reader.error()));
        const int64_t now = now_ms();
        const std::string id = new_id("msgbatch_");
        const auto& caller = exchange.request().caller;
        const int64_t key_bytes_max = caller ? caller->permissions().storage_bytes : 0;
        respond(exchange,
                store.create(id, key_of(exchange), requests, now, now + kDayMs, key_bytes_max));
      });
}

Handler list_batches(const Context& context, std::shared_ptr<BatchRunner> runner) {
  return with_store(context, std::move(runner),
                    [](service::BatchStore& store, BatchRunner&, Exchange& exchange) {
                      const Result<std::vector<Batch>> batches = store.list(key_of(exchange));
                      if (!batches.ok()) return refuse(exchange, batches.error());
                      respond_page(exchange, *batches, &Batch::id, write_batch);
                    });
}

Handler get_batch(const Context& context, std::shared_ptr<BatchRunner> runner) {
  return with_store(context, std::move(runner),
                    [](service::BatchStore& store, BatchRunner&, Exchange& exchange) {
                      respond(exchange, named_batch(store, exchange));
                    });
}

Handler cancel_batch(const Context& context, std::shared_ptr<BatchRunner> runner) {
  return with_store(context, std::move(runner),
                    [](service::BatchStore& store, BatchRunner& running, Exchange& exchange) {
                      Result<Batch> batch = named_batch(store, exchange);
                      if (!batch.ok()) return refuse(exchange, batch.error());
                      const Result<Batch> cancelled = store.cancel(batch->id, now_ms());
                      if (cancelled.ok()) running.cancel(batch->id);
                      respond(exchange, cancelled);
                    });
}

Handler delete_batch(const Context& context, std::shared_ptr<BatchRunner> runner) {
  return with_store(context, std::move(runner),
                    [](service::BatchStore& store, BatchRunner&, Exchange& exchange) {
                      const Result<Batch> batch = named_batch(store, exchange);
                      if (!batch.ok()) return refuse(exchange, batch.error());
                      if (const Result<void> removed = store.remove(batch->id); !removed.ok())
                        return refuse(exchange, removed.error());
                      Response response;
                      JsonWriter(response.body)
                          .begin_object()
                          .field("id", batch->id)
                          .field("type", "message_batch_deleted")
                          .end_object();
                      exchange.respond(std::move(response));
                    });
}

Handler batch_results(const Context& context, std::shared_ptr<BatchRunner> runner) {
  return with_store(context, std::move(runner),
                    [](service::BatchStore& store, BatchRunner&, Exchange& exchange) {
                      send_results(store, exchange);
                    });
}

}  // namespace pippin::api::anthropic
