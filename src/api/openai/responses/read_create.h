// Reads the body of POST /v1/responses (and of /v1/responses/input_tokens). Thread: the worker
// pool; may read the store.
#pragma once

#include <boost/json/array.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai/responses/history.h"
#include "api/openai/responses/tool_table.h"
#include "api/shared/field_reader.h"
#include "base/error.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::openai::responses {

struct CreateRequest {
  service::Request request;  // its one prompt is a Conversation
  ToolTable tools;
  std::vector<Warning> warnings;
  boost::json::array input;          // the request's own items, as the API lists them
  std::string previous_response_id;  // empty if none
  std::string echo_json;             // an object of the fields that the answer repeats
  std::optional<bool> store;         // absent: not said
  std::string_view service_tier;     // as answered; empty if not asked for
  bool stream = false;
  bool background = false;
  bool truncate = false;  // the oldest turns may be left out to fit the context
  bool show_reasoning = true;
  bool summary = false;            // thinking is shown as its summary
  bool encrypted = false;          // reasoning items carry `encrypted_content`
  std::optional<Error> not_found;  // what the store lacks or cannot tell
};

/// Reads all fields; the first wrong one is body.error(). `id_end` is what the ids of its items end
/// with, before their number.
CreateRequest read_create(FieldReader& body, const service::Model& model, const History& history,
                          const std::string& id_end);

}  // namespace pippin::api::openai::responses
