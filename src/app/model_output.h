// How commands write models on this machine: tables for people, members of JSON objects. Thread:
// any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/catalogue.h"
#include "service/json.h"

namespace pippin::app {

/// Returns the error of a command that needs a name and got none.
Error no_model_named(std::string_view command);

/// Returns "file", "huggingface", "ollama".
const char* word_of(hub::Source source);

/// Prints rows of cells in columns as wide as they need to be.
void print_table(const std::vector<std::vector<std::string>>& rows);

/// Writes the members that say which model it is and where it lies. Requires: an object is open.
void write_identity(service::JsonWriter& json, const hub::LocalModel& model);

}  // namespace pippin::app
