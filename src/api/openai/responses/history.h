// History: items of earlier responses, out of the store. Thread: the worker pool; may read the
// disk.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "service/json.h"
#include "service/response_store.h"

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
  /// Returns one item by its id. Errors: as up_to(); kNotFound.
  Result<boost::json::object> item(std::string_view id) const;

 private:
  service::ResponseStore* const store_;
  const std::string key_id_;
};

}  // namespace pippin::api::openai::responses
