// Call: what the routes of this wire do alike: open the body, find the model. Thread: the worker
// pool.
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <string_view>

#include "api/context.h"
#include "api/exchange.h"
#include "service/model_pool.h"

namespace pippin::api::anthropic {

/// A request whose body is a JSON object and whose model is there.
struct Call {
  boost::json::object body;
  service::ModelLease model;
};

/// Opens a call, waits for its model if need be, and goes on with `then`; if that fails, answers.
using Then = std::function<void(std::shared_ptr<Exchange>, Call)>;
void open_call(const Context& context, std::shared_ptr<Exchange> exchange, Then then);

/// Returns the name by which the pool knows a model. A name of Anthropic's own, which clients have
/// built in, is the default model's, unless ids are strict.
std::string_view pool_name(const Context& context, std::string_view name);

/// Answers with an error.
void refuse(Exchange& exchange, const Error& error);

}  // namespace pippin::api::anthropic
