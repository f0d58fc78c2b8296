// Call: what the routes that ask a model do alike: open the body, find the model, start the answer.
// Thread: the worker pool.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "api/exchange.h"
#include "api/ollama/library.h"
#include "api/ollama/read_call.h"
#include "api/wire/answer_times.h"
#include "api/wire/field_reader.h"

namespace pippin::api::ollama {

/// A request whose body is a JSON object.
struct Call {
  boost::json::object body;
  RequestTimes times;
};

/// Opens a body. If that fails, answers the exchange and returns nothing.
std::optional<Call> open_call(const Library& library, Exchange& exchange);

/// Returns what `model`, or its older name `name`, says; reports it missing.
std::optional<std::string_view> read_model_name(FieldReader& reader);

/// Returns what the call's model means. If that fails, answers the exchange and returns nothing.
std::optional<Wanted> find_model(const Library& library, Exchange& exchange, const Call& call);

/// Goes on with `then` once the model is loaded, and notes the time; if that fails, answers.
using Then = std::function<void(std::shared_ptr<Exchange>, Call, Served)>;
void with_served(const Library& library, std::shared_ptr<Exchange> exchange, Call call,
                 Wanted wanted, Then then);

/// Starts the generation of a request that `reader` has read, and its answer; or answers with what
/// is wrong. A request without a prompt only loads the model or lets it go.
void answer_call(const Context& context, std::shared_ptr<Exchange> exchange,
                 const FieldReader& reader, Served served, AnswerCall call,
                 const RequestTimes& times);

/// Answers {..} as one line of a stream, or as the whole answer.
void respond_line(Exchange& exchange, std::string line, bool stream);

}  // namespace pippin::api::ollama
