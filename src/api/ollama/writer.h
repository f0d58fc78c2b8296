// response_writer: the answers of POST /api/chat and POST /api/generate: lines of JSON, or one
// object.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "api/ollama/read_request.h"
#include "api/shared/response_stream.h"
#include "api/shared/response_times.h"
#include "service/chat/generation.h"

namespace pippin::api::ollama {

constexpr const char* kStreamType = "application/x-ndjson";

/// `generation` outlives the writer.
std::unique_ptr<ResponseWriter> response_writer(const service::Generation& generation,
                                                ResponseOptions options, const RequestTimes& times);

/// Returns the answer to a request that only loads a model or lets it go.
std::string load_line(const ResponseOptions& options, const std::optional<KeepAlive>& keep_alive);

/// Returns a time as "2026-01-31T12:00:00.123456789Z".
std::string time_text(std::chrono::system_clock::time_point time);
std::string now_text();

}  // namespace pippin::api::ollama
