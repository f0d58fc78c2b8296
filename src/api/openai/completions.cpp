// POST /v1/completions
#include <utility>

#include "api/openai/completion_writer.h"
#include "api/openai/model_route.h"
#include "api/openai/openai.h"
#include "api/openai/read_completion.h"

namespace pippin::api::openai {
namespace {

void serve_completion(ApiRequest request) {
  FieldReader reader(request.body);
  CompletionRequest completion = read_completion(reader, *request.model);
  if (reader.ok() && completion.unsupported) return request.respond(*completion.unsupported);
  completion.request.deadline = request.choice.deadline;
  auto generation = request.generate(reader, std::move(completion.request));
  if (generation == nullptr) return;
  auto writer = completion_writer(*generation, completion.options);
  ResponseStream::start(request.context, std::move(request.exchange), std::move(generation),
                        std::move(writer));
}

}  // namespace

Handler completions(const Context& context) { return model_route(context, serve_completion); }

}  // namespace pippin::api::openai
