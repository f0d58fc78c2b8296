// POST /completion, POST /completions and POST /infill.
#include <utility>

#include "api/llama/llama.h"
#include "api/llama/read_completion.h"
#include "api/llama/writer.h"
#include "api/openai/model_route.h"

namespace pippin::api::llama {
namespace {

using Read = CompletionRequest (*)(FieldReader&, const boost::json::value&, const service::Model&);

void serve(Read read, ApiRequest request) {
  const boost::json::value bias = take_bias_list(request.body);
  FieldReader reader(request.body);
  CompletionRequest completion = read(reader, bias, *request.model);
  if (reader.ok() && completion.error) return request.respond(*completion.error);
  completion.options.times = request.times;
  auto generation = request.generate(reader, std::move(completion.request));
  if (generation == nullptr) return;
  auto writer = completion_writer(*generation, std::move(completion.options));
  ResponseStream::start(request.context, std::move(request.exchange), std::move(generation),
                        std::move(writer));
}

void serve_completion(ApiRequest request) { serve(read_completion, std::move(request)); }
void serve_infill(ApiRequest request) { serve(read_infill, std::move(request)); }

}  // namespace

Handler completion(const Context& context) {
  return openai::model_route(context, serve_completion, openai::ModelField::kOptional);
}
Handler infill(const Context& context) {
  return openai::model_route(context, serve_infill, openai::ModelField::kOptional);
}

}  // namespace pippin::api::llama
