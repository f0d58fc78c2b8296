// Writers of /v1/completions: chunks of a stream, or the whole object. Owner: the Answer.
#pragma once

#include <memory>

#include "api/openai/read_completion.h"
#include "api/wire/answer.h"
#include "service/generation.h"

namespace pippin::api::openai {

std::unique_ptr<AnswerWriter> completion_writer(const service::Generation& generation,
                                                const CompletionShape& shape);

}  // namespace pippin::api::openai
