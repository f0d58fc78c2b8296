// The routes of Ollama's API that need a model, and what those without one do alike: open the body,
// find what its model's name means. Thread: the worker pool.
#pragma once

#include <boost/json/object.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/ollama/library.h"
#include "api/ollama/read_request.h"
#include "api/shared/field_reader.h"
#include "api/shared/model_route.h"

namespace pippin::api::ollama {

/// How this API answers what goes wrong. Lines of JSON know no comments: who waits for a stream
/// hears nothing, as from Ollama.
extern const ApiFormat kFormat;

/// Opens a body. If that fails, answers the exchange and returns nothing.
std::optional<boost::json::object> open_body(const Library& library, Exchange& exchange);

/// Returns what `model`, or its older name `name`, says; reports it missing.
std::optional<std::string_view> read_model_name(FieldReader& reader);

/// Returns what the model of a body means. If that fails, reports it to the reader, or answers the
/// exchange, and returns nothing.
std::optional<Wanted> find_model(const Library& library, Exchange& exchange, FieldReader& body);

/// Answers {..} as one line of a stream, or as the whole answer.
void respond_line(Exchange& exchange, std::string line, bool stream);

}  // namespace pippin::api::ollama
