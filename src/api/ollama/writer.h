// answer_writer: the answers of POST /api/chat and POST /api/generate: lines of JSON, or one
// object.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "api/ollama/read_call.h"
#include "api/wire/answer.h"
#include "api/wire/answer_times.h"
#include "service/generation.h"

namespace pippin::api::ollama {

constexpr const char* kStreamType = "application/x-ndjson";

/// `generation` outlives the writer.
std::unique_ptr<AnswerWriter> answer_writer(const service::Generation& generation,
                                            AnswerShape shape, const RequestTimes& times);

/// Returns the answer to a request that only loads a model or lets it go.
std::string load_line(const AnswerShape& shape, const std::optional<KeepAlive>& keep_alive);

/// Returns a time as "2026-01-31T12:00:00.123456789Z".
std::string time_text(std::chrono::system_clock::time_point time);
std::string now_text();

}  // namespace pippin::api::ollama
