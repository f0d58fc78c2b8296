// with_rate_limits: tells a client, in OpenAI's headers, how many requests still find room. Thread:
// the worker pool.
#pragma once

#include "api/context.h"
#include "api/exchange.h"

namespace pippin::api::openai {

/// Adds x-ratelimit-limit-requests, -remaining-requests and -reset-requests to what `handler`
/// answers. The limit is what the model's engine runs and queues at the same time; a place is free
/// again as soon as an answer ends.
Handler with_rate_limits(const Context& context, Handler handler);

}  // namespace pippin::api::openai
