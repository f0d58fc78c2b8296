// read_body: a request's body as a JSON object, whatever the API. Thread: the worker pool.
#pragma once

#include <boost/json/object.hpp>

#include "api/context.h"
#include "api/exchange.h"
#include "base/result.h"

namespace pippin::api {

/// Errors: kUnavailable while the server is not ready; kTooLarge; kInvalidArgument for a body that
/// is no JSON object.
Result<boost::json::object> read_body(const Context& context, const Request& request);

}  // namespace pippin::api
