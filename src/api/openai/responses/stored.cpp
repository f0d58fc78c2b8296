// What is done with a response by its id: GET, DELETE, cancel, and its input items.
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <limits>
#include <utility>

#include "api/openai/errors.h"
#include "api/openai/responses/history.h"
#include "api/openai/responses/responses.h"
#include "api/shared/key_of.h"
#include "api/shared/query.h"
#include "service/storage/response_store.h"

namespace pippin::api::openai::responses {
namespace {

std::string id_of(const Exchange& exchange) {
  const auto& captures = exchange.request().captures;
  return captures.empty() ? std::string() : captures.front();
}

Error unknown(const std::string& id) {
  return fail(Code::kNotFound, "Response with id '" + id + "' not found.", "id");
}

void respond_json(Exchange& exchange, std::string body) {
  exchange.respond({200, "application/json", std::move(body), {}});
}

Result<service::StoredResponse> find(const Context& context, const Exchange& exchange) {
  const std::string id = id_of(exchange);
  if (context.responses == nullptr) return unknown(id);
  return context.responses->get(id, key_of(exchange));
}

std::shared_ptr<Run> run_of(const Runs& runs, const Exchange& exchange) {
  return runs.find(id_of(exchange), key_of(exchange));
}

// An answer whose process has ended while it was written will not be finished by anybody.
Result<boost::json::object> object_of(const service::StoredResponse& stored) {
  ASSIGN_OR_RETURN(boost::json::value body, stored_json(stored.body_json));
  if (!body.is_object()) return fail(Code::kInternal, "A stored response is no object.");
  boost::json::object object = body.get_object();
  if (stored.lost) {
    object["status"] = "failed";
    object["error"] = {{"code", "server_error"},
                       {"message", "The server ended while this response was generated."}};
  }
  return object;
}

void stream_again(const Context& context, std::shared_ptr<Exchange> exchange,
                  const std::shared_ptr<Run>& run, size_t from) {
  if (run == nullptr || from < run->first_event()) {
    return exchange->respond(error_response(ApiError{
        400, "invalid_request_error", "unsupported_value",
        "Only a response with 'background' can be streamed again, while it is generated or shortly "
        "after; its events from 'starting_after' on are no longer kept.",
        "stream"}));
  }
  follow(context, std::move(exchange), run, from);
}

}  // namespace

Handler retrieve(const Context& context, std::shared_ptr<Runs> runs) {
  return [&context, runs = std::move(runs)](std::shared_ptr<Exchange> exchange) {
    Query query(exchange->request().query);
    const bool stream = query.boolean("stream").value_or(false);
    const std::optional<int64_t> after =
        query.integer("starting_after", 0, std::numeric_limits<int>::max());
    if (after && !stream)
      query.wrong("starting_after", "Invalid 'starting_after': it is only allowed with 'stream'.");
    if (query.error()) return exchange->respond(error_response(api_error(*query.error())));
    const std::shared_ptr<Run> run = run_of(*runs, *exchange);
    if (run != nullptr && !stream) return respond_json(*exchange, run->body());
    if (run == nullptr) {
      const Result<service::StoredResponse> stored = find(context, *exchange);
      if (!stored.ok()) return exchange->respond(error_response(stored.error()));
      if (!stream) {
        const Result<boost::json::object> object = object_of(*stored);
        if (!object.ok()) return exchange->respond(error_response(object.error()));
        return respond_json(*exchange, boost::json::serialize(*object));
      }
    }
    stream_again(context, std::move(exchange), run, after ? static_cast<size_t>(*after) + 1 : 0);
  };
}

Handler remove(const Context& context, std::shared_ptr<Runs> runs) {
  return [&context, runs = std::move(runs)](std::shared_ptr<Exchange> exchange) {
    const std::string id = id_of(*exchange);
    if (const std::shared_ptr<Run> run = run_of(*runs, *exchange); run != nullptr) {
      run->discard();
      runs->remove(id);
    }
    const Result<void> removed = context.responses == nullptr
                                     ? Result<void>(unknown(id))
                                     : context.responses->remove(id, key_of(*exchange));
    if (!removed.ok()) return exchange->respond(error_response(removed.error()));
    Response response;
    service::JsonWriter json(response.body);
    json.begin_object().field("id", id).field("object", "response").field("deleted", true);
    json.end_object();
    exchange->respond(std::move(response));
  };
}

Handler cancel(const Context& context, std::shared_ptr<Runs> runs) {
  return [&context, runs = std::move(runs)](std::shared_ptr<Exchange> exchange) {
    if (const std::shared_ptr<Run> run = run_of(*runs, *exchange); run != nullptr) {
      run->cancel();
      // The answer follows when the engine has let go, within a step. A run that has ended is as it
      // is: then to cancel changes nothing.
      auto answered = std::make_shared<std::atomic<bool>>(false);
      return run->subscribe([exchange, answered, weak = std::weak_ptr(run)] {
        const std::shared_ptr<Run> alive = weak.lock();
        if (alive == nullptr || !alive->ended() || answered->exchange(true)) return;
        respond_json(*exchange, alive->body());
      });
    }
    const Result<service::StoredResponse> stored = find(context, *exchange);
    if (!stored.ok()) return exchange->respond(error_response(stored.error()));
    const Result<boost::json::object> object = object_of(*stored);
    if (!object.ok()) return exchange->respond(error_response(object.error()));
    const boost::json::value* background = object->if_contains("background");
    if (background == nullptr || !background->is_bool() || !background->get_bool()) {
      return exchange->respond(error_response(
          ApiError{400, "invalid_request_error", "invalid_value",
                   "Only a response that was created with 'background' can be cancelled.", "id"}));
    }
    respond_json(*exchange, boost::json::serialize(*object));
  };
}

namespace {

/// What GET input_items asks for.
struct Page {
  int64_t limit = 20;
  bool descending = true;
  std::string after;
};

std::optional<Page> read_page(Query& query) {
  Page page;
  page.limit = query.integer("limit", 1, 100).value_or(page.limit);
  const std::string_view order = query.text("order").value_or("desc");
  if (order != "asc" && order != "desc")
    query.wrong("order", "Invalid 'order': 'asc' or 'desc' was expected.");
  page.descending = order == "desc";
  page.after = query.text("after").value_or("");
  return query.error() ? std::nullopt : std::optional(page);
}

std::string_view item_id(const boost::json::value& item) {
  const boost::json::value* id = item.get_object().if_contains("id");
  return id != nullptr && id->is_string() ? std::string_view(id->get_string()) : "";
}

// Returns all that the model was given: the conversation before, and the response's own items.
Result<boost::json::array> given_items(const Context& context, const Exchange& exchange) {
  ASSIGN_OR_RETURN(const service::StoredResponse stored, find(context, exchange));
  boost::json::array items;
  if (!stored.previous_id.empty()) {
    Result<boost::json::array> before =
        History(context.responses, stored.key_id).up_to(stored.previous_id);
    // What went on from a response that has been deleted since still has its own items.
    if (before.ok())
      items = std::move(*before);
    else if (before.error().code != Code::kNotFound)
      return before.error();
  }
  ASSIGN_OR_RETURN(const boost::json::array own, items_of(stored, false));
  items.insert(items.end(), own.begin(), own.end());
  return items;
}

std::optional<std::string> page_json(boost::json::array items, const Page& page) {
  if (page.descending) std::ranges::reverse(items);
  auto begin = items.begin();
  if (!page.after.empty()) {
    begin = std::ranges::find_if(items, [&](const auto& i) { return item_id(i) == page.after; });
    if (begin == items.end()) return std::nullopt;
    ++begin;
  }
  const auto left = static_cast<int64_t>(items.end() - begin);
  const auto end = begin + std::min(left, page.limit);
  std::string out;
  service::JsonWriter json(out);
  json.begin_object().field("object", "list").key("data").begin_array();
  for (auto item = begin; item != end; ++item) json.value(*item);
  json.end_array();
  const auto id_or_null = [&](const char* name, auto at) {
    json.key(name);
    if (begin == end) {
      json.null();
    } else {
      json.string(item_id(*at));
    }
  };
  id_or_null("first_id", begin);
  id_or_null("last_id", begin == end ? begin : end - 1);
  json.field("has_more", end != items.end()).end_object();
  return out;
}

}  // namespace

Handler list_input_items(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    Query query(exchange->request().query);
    const std::optional<Page> page = read_page(query);
    if (!page) return exchange->respond(error_response(api_error(*query.error())));
    Result<boost::json::array> items = given_items(context, *exchange);
    if (!items.ok()) return exchange->respond(error_response(items.error()));
    const std::optional<std::string> body = page_json(std::move(*items), *page);
    if (!body) {
      return exchange->respond(error_response(
          ApiError{400, "invalid_request_error", "invalid_value",
                   "Invalid 'after': this response has no item '" + page->after + "'.", "after"}));
    }
    respond_json(*exchange, *body);
  };
}

}  // namespace pippin::api::openai::responses
