// POST /v1/chat/completions
#include "api/openai/call.h"
#include "api/openai/chat_writer.h"
#include "api/openai/openai.h"
#include "api/openai/read_chat.h"

namespace pippin::api::openai {

Handler chat_completions(const Context& context) {
  return with_call(context, [&context](std::shared_ptr<Exchange> exchange, Call call) {
    FieldReader reader(call.body);
    ChatCall chat = read_chat(reader, *call.model);
    chat.request.deadline = call.deadline;
    answer_call(context, std::move(exchange), reader, std::move(call.model),
                std::move(chat.request), [&](const service::Generation& generation) {
                  return chat_writer(generation, chat.options);
                });
  });
}

}  // namespace pippin::api::openai
