#include "api/openai/responses/history.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <utility>
#include <vector>

#include "service/storage/response_store.h"

namespace pippin::api::openai::responses {
namespace {

constexpr size_t kHistoryBytesMax = size_t{64} << 20;

Error no_store() {
  return fail(Code::kUnsupported,
              "Responses are not kept here: the server runs without a store. Send the whole "
              "conversation as 'input'.",
              "previous_response_id");
}

Error no_such_item(std::string_view id) {
  return fail(Code::kNotFound,
              "Item with id '" + std::string(id) +
                  "' not found. Items are kept only of responses with 'store' on.",
              "input");
}

Error too_much(std::string_view what, size_t bytes_max) {
  return fail(Code::kInvalidArgument,
              fmt::format("Invalid 'input': its item references may {} of {} MiB at most.", what,
                          bytes_max >> 20),
              "input");
}

// An id is PREFIX_RESPONSE_NUMBER; the response's own is resp_RESPONSE.
std::string response_of_item(std::string_view id) {
  const size_t first = id.find('_'), last = id.rfind('_');
  if (first == std::string_view::npos || last == first) return {};
  return "resp_" + std::string(id.substr(first + 1, last - first - 1));
}

}  // namespace

Result<boost::json::value> stored_json(std::string_view text) {
  service::JsonLimits limits;
  limits.bytes_max = 2 * kHistoryBytesMax;
  limits.depth_max = 2 * limits.depth_max;
  Result<boost::json::value> value = service::parse_json(text, limits);
  if (value.ok()) return value;
  return fail(Code::kInternal, "A stored response is not readable: " + value.error().message);
}

Result<boost::json::array> items_of(const service::StoredResponse& response, bool with_output) {
  boost::json::array items;
  const auto add = [&items](const boost::json::value& from) {
    if (!from.is_array()) return;
    for (const boost::json::value& item : from.get_array()) {
      if (item.is_object()) items.push_back(item);
    }
  };
  ASSIGN_OR_RETURN(const boost::json::value input, stored_json(response.input_json));
  add(input);
  if (!with_output) return items;
  ASSIGN_OR_RETURN(const boost::json::value body, stored_json(response.body_json));
  if (body.is_object()) {
    if (const auto* output = body.get_object().if_contains("output")) add(*output);
  }
  return items;
}

Result<boost::json::array> History::up_to(const std::string& response_id) const {
  if (store_ == nullptr) return no_store();
  Result<std::vector<service::StoredResponse>> chain =
      store_->chain(response_id, key_id_, kHistoryBytesMax);
  if (!chain.ok()) {
    Error error = chain.error();
    if (error.code == Code::kNotFound) {
      const bool itself = !store_->get(response_id, key_id_).ok();
      error.message = itself ? "Previous response with id '" + response_id + "' not found."
                             : "Response '" + response_id +
                                   "' cannot be gone on from: one that it goes on from itself is "
                                   "not kept any more. Send the conversation as 'input'. (" +
                                   error.message + ")";
    }
    error.param = "previous_response_id";
    return error;
  }
  boost::json::array items;
  for (const service::StoredResponse& response : *chain) {
    if (response.pending) {
      return fail(Code::kInvalidArgument,
                  "Response '" + response.id + "' has no answer yet to go on from.",
                  "previous_response_id");
    }
    ASSIGN_OR_RETURN(const boost::json::array own, items_of(response, true));
    items.insert(items.end(), own.begin(), own.end());
  }
  return items;
}

Result<service::StoredResponse> History::response_with(std::string_view item_id) const {
  if (store_ == nullptr) return no_store();
  const std::string owner = response_of_item(item_id);
  if (owner.empty()) return no_such_item(item_id);
  Result<service::StoredResponse> response = store_->get(owner, key_id_);
  if (!response.ok() && response.error().code == Code::kNotFound) return no_such_item(item_id);
  return response;
}

Result<void> ReferencedItems::read_response_of(std::string_view item_id) {
  ASSIGN_OR_RETURN(const service::StoredResponse response, history_.response_with(item_id));
  read_bytes_ += response.input_json.size() + response.body_json.size();
  if (read_bytes_ > kReadBytesMax) return too_much("belong to responses", kReadBytesMax);
  ASSIGN_OR_RETURN(const boost::json::array items, items_of(response, true));
  for (const boost::json::value& value : items) {
    const boost::json::object& item = value.get_object();
    const boost::json::value* id = item.if_contains("id");
    if (id == nullptr || !id->is_string()) continue;
    items_.try_emplace(std::string(id->get_string()),
                       Item{item, boost::json::serialize(item).size()});
  }
  return {};
}

Result<const boost::json::object*> ReferencedItems::item(std::string_view id) {
  auto found = items_.find(id);
  if (found == items_.end()) {
    RETURN_IF_ERROR(read_response_of(id));
    found = items_.find(id);
    if (found == items_.end()) return no_such_item(id);
  }
  given_bytes_ += found->second.bytes;
  if (given_bytes_ > kGivenBytesMax) return too_much("stand for items", kGivenBytesMax);
  return &found->second.json;
}

}  // namespace pippin::api::openai::responses
