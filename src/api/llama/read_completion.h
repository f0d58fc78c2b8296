// Reads the bodies of POST /completion and POST /infill. Thread: any.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <vector>

#include "api/shared/field_reader.h"
#include "api/shared/response_times.h"
#include "base/error.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::llama {

/// What concerns the answer's form only.
struct CompletionOptions {
  bool stream = false;
  bool timings_per_token = false;
  bool return_tokens = false;
  int probabilities = 0;                     // for each token: so many of the best
  std::vector<std::string> response_fields;  // the only ones of the answer; empty: all
  std::vector<std::string> samplers;         // those that are on
  RequestTimes times;
};

struct CompletionRequest {
  service::Request request;
  CompletionOptions options;
  std::optional<Error> error;  // what is wrong with no field
};

/// Takes "logit_bias" in llama-server's form, a list of pairs, out of a body; in OpenAI's form it
/// stays there.
boost::json::value take_bias_list(boost::json::object& body);

/// Read all fields; the first wrong one is reader.error(). `bias` is what take_bias_list() gave.
CompletionRequest read_completion(FieldReader& reader, const boost::json::value& bias,
                                  const service::Model& model);
CompletionRequest read_infill(FieldReader& reader, const boost::json::value& bias,
                              const service::Model& model);

}  // namespace pippin::api::llama
