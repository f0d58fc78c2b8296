// completion_writer: llama-server's answers to /completion and /infill: an object, an array of
// them for several answers, or events.
#pragma once

#include <memory>

#include "api/llama/read_completion.h"
#include "api/shared/response_stream.h"
#include "service/chat/generation.h"

namespace pippin::api::llama {

/// `generation` outlives the writer.
std::unique_ptr<ResponseWriter> completion_writer(const service::Generation& generation,
                                                  CompletionOptions options);

}  // namespace pippin::api::llama
