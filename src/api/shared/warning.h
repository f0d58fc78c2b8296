// Warning: what of a request is left out, and why. Plain values. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "service/json.h"

namespace pippin::api {

/// Something that was asked for and is left out rather than refused, told in the answer's own
/// "warnings".
struct Warning {
  std::string code, param, message;
};

/// Appends "warnings":[{"code":..,"param":..,"message":..}, ..].
void write_warnings(service::JsonWriter& json, const std::vector<Warning>& warnings);

}  // namespace pippin::api
