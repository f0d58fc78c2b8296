// llama-server's own routes, beside OpenAI's, that clients of it use. Errors have OpenAI's form.
// Handlers run on the worker pool.
#pragma once

#include "api/context.h"
#include "api/exchange.h"

namespace pippin::api::llama {

/// POST /completion and /completions
Handler completion(const Context& context);
/// POST /infill
Handler infill(const Context& context);
/// GET /props
Handler props(const Context& context);
/// GET /slots
Handler slots(const Context& context);
/// POST /tokenize: {"content": ..}; a body in vLLM's form goes to `other`.
Handler tokenize(const Context& context, Handler other);
/// POST /apply-template
Handler apply_template(const Context& context);

/// POST /models/load: answers once the model is loaded.
Handler load_model(const Context& context);
/// POST /models/unload: answers at once; the model goes when the requests end that use it.
Handler unload_model(const Context& context);

}  // namespace pippin::api::llama
