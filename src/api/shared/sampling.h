// Reads how the next token is chosen and what ends an answer: fields that the APIs name alike.
// Thread: any.
#pragma once

#include <boost/json/array.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/shared/field_reader.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api {

/// Starts from the model's defaults and overlays the request's fields.
void read_sampling(FieldReader& reader, const service::Model& model, service::Request& request);

/// A sampling field that is a number in [low, high].
struct NumberField {
  std::string_view name;
  double low, high;
  float engine::SamplingParams::*member;
};
void read_numbers(FieldReader& reader, std::span<const NumberField> fields,
                  engine::SamplingParams& sampling);
/// top_k, of which -1 is off, too, and mirostat, 0 (off) or 2.
void read_top_k(FieldReader& reader, engine::SamplingParams& sampling);
void read_mirostat(FieldReader& reader, engine::SamplingParams& sampling);

/// Reads a string or an array of at most `count_max` strings, none empty.
void read_stop(FieldReader& reader, std::string_view name, size_t count_max,
               std::vector<std::string>& stops);

/// Reads an array of ids below the model's vocabulary.
void read_tokens(FieldReader& reader, std::string_view name, const boost::json::array& array,
                 const service::Model& model, std::vector<service::Token>& tokens);

}  // namespace pippin::api
