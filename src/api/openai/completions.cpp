// POST /v1/completions
#include "api/openai/call.h"
#include "api/openai/completion_writer.h"
#include "api/openai/errors.h"
#include "api/openai/openai.h"
#include "api/openai/read_completion.h"

namespace pippin::api::openai {

Handler completions(const Context& context) {
  return [&context](std::shared_ptr<Exchange> exchange) {
    std::optional<Call> call = open_call(context, *exchange);
    if (!call) return;
    const boost::json::object body = std::move(call->body);
    FieldReader reader(body);
    CompletionCall text = read_completion(reader, *call->model);
    if (reader.ok() && text.unsupported)
      return exchange->respond(error_response(*text.unsupported));
    answer_call(context, std::move(exchange), reader, std::move(call->model),
                std::move(text.request), [&](const service::Generation& generation) {
                  return completion_writer(generation, text.shape);
                });
  };
}

}  // namespace pippin::api::openai
