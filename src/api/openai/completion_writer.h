// Writers of /v1/completions: chunks of a stream, or the whole object. Owner: the ResponseStream.
#pragma once

#include <memory>

#include "api/openai/read_completion.h"
#include "api/shared/response_stream.h"
#include "service/chat/generation.h"

namespace pippin::api::openai {

std::unique_ptr<ResponseWriter> completion_writer(const service::Generation& generation,
                                                  const CompletionOptions& options);

}  // namespace pippin::api::openai
