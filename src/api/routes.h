// add_routes: every route of every API, in one table. Called by main before the server starts.
#pragma once

#include "api/context.h"
#include "api/exchange.h"

namespace pippin::api {

/// Requires: `context` outlives the router and all exchanges.
void add_routes(Router& router, const Context& context);

/// GET /health: 200 {"status":"ok"} when requests are answered, else 503 with the reason.
Handler health(const Context& context);
/// GET /v1/status: readiness, the models with their memory, limits and counters, and every request
/// that is being answered.
Handler status(const Context& context);
/// GET /metrics: the counters, gauges and histograms as Prometheus reads them.
Handler metrics(const Context& context);
/// POST /v1/requests/{id}/cancel and DELETE /v1/requests/{id}: ends a request, by its x-request-id
/// or its answer's id. Errors: 404, if none goes by that id or it is cancelled already.
Handler cancel_request(const Context& context);

}  // namespace pippin::api
