// Writers of /v1/chat/completions: chunks of a stream, or the whole object. Owner: the Answer.
#pragma once

#include <memory>

#include "api/openai/read_chat.h"
#include "api/wire/answer.h"
#include "service/generation.h"

namespace pippin::api::openai {

std::unique_ptr<AnswerWriter> chat_writer(const service::Generation& generation,
                                          const ChatOptions& options);

}  // namespace pippin::api::openai
