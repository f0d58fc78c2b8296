// write_status: how a served model stands, as all lists of models tell it. Thread: any.
#pragma once

#include "service/json.h"
#include "service/models/model_status.h"

namespace pippin::api {

/// Writes {"value": "loaded", ...}; "value" and "failed" as llama-server has them.
void write_status(service::JsonWriter& json, const service::ModelStatus& status);

}  // namespace pippin::api
