// POST /v1/completions
#include "api/openai/call.h"
#include "api/openai/completion_writer.h"
#include "api/openai/errors.h"
#include "api/openai/openai.h"
#include "api/openai/read_completion.h"

namespace pippin::api::openai {

Handler completions(const Context& context) {
  return with_call(context, [&context](std::shared_ptr<Exchange> exchange, Call call) {
    FieldReader reader(call.body);
    CompletionCall text = read_completion(reader, *call.model);
    text.request.deadline = call.deadline;
    if (reader.ok() && text.unsupported)
      return exchange->respond(error_response(*text.unsupported));
    answer_call(context, std::move(exchange), reader, std::move(call.model),
                std::move(text.request), [&](const service::Generation& generation) {
                  return completion_writer(generation, text.shape);
                });
  });
}

}  // namespace pippin::api::openai
