// Modelfile: the text by which Ollama's users describe a model: FROM, PARAMETER, SYSTEM, TEMPLATE,
// MESSAGE, LICENSE. Thread: any. Source: the documentation of Ollama's Modelfile.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pippin::api::ollama {

/// What a Modelfile says.
struct Modelfile {
  std::string from;
  std::string system, template_text, license;
  boost::json::object
      parameters;               // as "options" in requests: numbers, booleans, texts; stop a list
  boost::json::array messages;  // [{"role", "content"}, ..]
  std::string adapter;          // what ADAPTER names; empty: there is none
};

/// Errors: kInvalidArgument, naming the line.
Result<Modelfile> parse_modelfile(std::string_view text);

}  // namespace pippin::api::ollama
