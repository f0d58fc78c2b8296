// Writers of /v1/chat/completions: chunks of a stream, or the whole object. Owner: the
// ResponseStream.
#pragma once

#include <memory>

#include "api/openai/read_chat.h"
#include "api/shared/response_stream.h"
#include "service/chat/generation.h"

namespace pippin::api::openai {

std::unique_ptr<ResponseWriter> chat_writer(const service::Generation& generation,
                                            const ChatOptions& options);

}  // namespace pippin::api::openai
