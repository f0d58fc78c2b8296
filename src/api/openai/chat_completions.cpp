// POST /v1/chat/completions
#include <utility>

#include "api/openai/chat_writer.h"
#include "api/openai/model_route.h"
#include "api/openai/openai.h"
#include "api/openai/read_chat.h"

namespace pippin::api::openai {
namespace {

void serve_chat(ApiRequest request) {
  FieldReader reader(request.body);
  ChatRequest chat = read_chat(reader, *request.model);
  chat.request.deadline = request.choice.deadline;
  auto generation = request.generate(reader, std::move(chat.request));
  if (generation == nullptr) return;
  auto writer = chat_writer(*generation, chat.options);
  ResponseStream::start(request.context, std::move(request.exchange), std::move(generation),
                        std::move(writer));
}

}  // namespace

Handler chat_completions(const Context& context) { return model_route(context, serve_chat); }

}  // namespace pippin::api::openai
