// Call: what /v1/chat/completions and /v1/completions do alike: open the body, find the model,
// start the answer. Thread: the worker pool.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "api/context.h"
#include "api/exchange.h"
#include "api/wire/answer.h"
#include "api/wire/answer_times.h"
#include "api/wire/field_reader.h"
#include "service/generation.h"

namespace pippin::api::openai {

/// A request whose body is a JSON object and whose model is there.
struct Call {
  boost::json::object body;
  service::ModelLease model;
  RequestTimes times;
  std::optional<TimePoint> deadline = {};  // by its `timeout`, the wait for the model included
};

/// Where `model` need not be named, its absence means the default model.
enum class ModelField : uint8_t { kRequired, kOptional };

/// Returns a handler that opens a call, waits for its model if need be, and goes on with `then`; if
/// that fails, it answers.
using Then = std::function<void(std::shared_ptr<Exchange>, Call)>;
Handler with_call(const Context& context, Then then,
                  ModelField model_field = ModelField::kRequired);

/// The answer to a body that cannot be read.
Response unreadable(const Error& error);

using MakeWriter = std::function<std::unique_ptr<AnswerWriter>(const service::Generation&)>;

/// Starts the generation of a request that `reader` has read, and its answer; or answers with what
/// is wrong.
void answer_call(const Context& context, std::shared_ptr<Exchange> exchange,
                 const FieldReader& reader, service::ModelLease model, service::Request request,
                 const MakeWriter& make_writer);

}  // namespace pippin::api::openai
