// write_timings: what an answer has taken, as llama-server tells it. Thread: any.
#pragma once

#include "api/shared/response_times.h"
#include "service/chat/request.h"
#include "service/json.h"

namespace pippin::api {

/// Appends "timings":{..} up to now: tokens, milliseconds and rates of the prompt's part that was
/// computed and of the answer.
void write_timings(service::JsonWriter& json, const ResponseTimes& times,
                   const service::Usage& usage);

}  // namespace pippin::api
