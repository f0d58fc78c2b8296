// POST /completion, POST /completions and POST /infill.
#include <utility>

#include "api/llama/llama.h"
#include "api/llama/read_completion.h"
#include "api/llama/writer.h"
#include "api/openai/call.h"
#include "api/openai/errors.h"

namespace pippin::api::llama {
namespace {

using Read = CompletionCall (*)(FieldReader&, const boost::json::value&, const service::Model&);

Handler answer_by(const Context& context, Read read) {
  const auto then = [&context, read](std::shared_ptr<Exchange> exchange, openai::Call call) {
    const boost::json::value bias = take_bias_list(call.body);
    FieldReader reader(call.body);
    CompletionCall text = read(reader, bias, *call.model);
    if (reader.ok() && text.error) return exchange->respond(openai::error_response(*text.error));
    text.shape.times = call.times;
    openai::answer_call(context, std::move(exchange), reader, std::move(call.model),
                        std::move(text.request), [&](const service::Generation& generation) {
                          return completion_writer(generation, std::move(text.shape));
                        });
  };
  return openai::with_call(context, then, openai::ModelField::kOptional);
}

}  // namespace

Handler completion(const Context& context) { return answer_by(context, read_completion); }
Handler infill(const Context& context) { return answer_by(context, read_infill); }

}  // namespace pippin::api::llama
