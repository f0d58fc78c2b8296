// Call: what the routes of this wire do alike: open the body, find the model. Thread: the worker
// pool.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string_view>

#include "api/context.h"
#include "api/exchange.h"
#include "service/model.h"

namespace pippin::api::anthropic {

/// A request whose body is a JSON object and whose model is there.
struct Call {
  boost::json::object body;
  service::ModelLease model;
};

/// Opens a call. If that fails, answers the exchange and returns nothing.
std::optional<Call> open_call(const Context& context, Exchange& exchange);

/// Leases a model by its name. A name of Anthropic's own, which clients have built in, is the
/// default model's, unless ids are strict. Errors: of ModelPool::lease().
Result<service::ModelLease> lease_model(const Context& context, std::string_view name);

/// Answers with an error.
void refuse(Exchange& exchange, const Error& error);

}  // namespace pippin::api::anthropic
