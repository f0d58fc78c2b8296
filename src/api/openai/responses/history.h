// History: items of earlier responses, out of the store. Thread: the worker pool; may read the
// disk.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "service/json.h"
#include "service/storage/response_store.h"

namespace pippin::api::openai::responses {

/// Parses JSON of the store. Errors: kInternal, if it is none: it was valid when it was put there.
Result<boost::json::value> stored_json(std::string_view text);

/// Returns the items that a response was given itself, and what it answered. Errors: of
/// stored_json().
Result<boost::json::array> items_of(const service::StoredResponse& response, bool with_output);

class History {
 public:
  /// `store` may be null: then nothing was kept. Only what `key_id` has made is there.
  History(service::ResponseStore* store, std::string key_id)
      : store_(store), key_id_(std::move(key_id)) {}

  /// Returns all items up to and with a response's answer, the oldest first. Errors:
  /// kUnsupported without a store; of ResponseStore::chain().
  Result<boost::json::array> up_to(const std::string& response_id) const;
  /// Returns the response that an item belongs to, by the item's id. Errors: kUnsupported without a
  /// store; kNotFound.
  Result<service::StoredResponse> response_with(std::string_view item_id) const;

 private:
  service::ResponseStore* const store_;
  const std::string key_id_;
};

/// What the references of one request stand for: each response is read once, and what is read and
/// what is handed out is bounded. Owner: the request's reader. Thread: one.
class ReferencedItems {
 public:
  /// Of the responses read, and of the items handed out, an item counting each time. Several times
  /// what the longest context holds.
  static constexpr size_t kReadBytesMax = size_t{32} << 20, kGivenBytesMax = size_t{16} << 20;

  explicit ReferencedItems(const History& history) : history_(history) {}

  /// Returns an item by its id; it stays where it is. Errors: as History::response_with();
  /// kNotFound; kInvalidArgument past a bound.
  Result<const boost::json::object*> item(std::string_view id);

 private:
  struct Item {
    boost::json::object json;
    size_t bytes;
  };
  Result<void> read_response_of(std::string_view item_id);

  const History& history_;
  std::map<std::string, Item, std::less<>> items_;  // of all responses that were read
  size_t read_bytes_ = 0, given_bytes_ = 0;
};

}  // namespace pippin::api::openai::responses
