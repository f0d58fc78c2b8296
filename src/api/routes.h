// add_routes: every route of every wire, in one table. Called by main before the server starts.
#pragma once

#include "api/context.h"
#include "api/exchange.h"

namespace pippin::api {

/// Requires: `context` outlives the router and all exchanges.
void add_routes(Router& router, const Context& context);

/// GET /health: 200 {"status":"ok"} when requests are answered, else 503 with the reason.
Handler health(const Context& context);
/// GET /v1/status: readiness, models, and their engines' counters.
Handler status(const Context& context);

}  // namespace pippin::api
