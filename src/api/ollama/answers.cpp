// POST /api/chat and POST /api/generate
#include <utility>

#include "api/ollama/call.h"
#include "api/ollama/ollama.h"

namespace pippin::api::ollama {
namespace {

using Read = AnswerCall (*)(FieldReader&, const Served&);

Handler answer_by(const Home& home, Read read) {
  return [home, read](std::shared_ptr<Exchange> exchange) {
    std::optional<Call> call = open_call(*home, *exchange);
    if (!call) return;
    std::optional<Served> served = find_model(*home, *exchange, *call);
    if (!served) return;
    FieldReader reader(call->body);
    AnswerCall asked = read(reader, *served);
    answer_call(home->context(), std::move(exchange), reader, std::move(*served), std::move(asked),
                call->times);
  };
}

}  // namespace

Handler chat(const Home& home) { return answer_by(home, read_chat); }
Handler generate(const Home& home) { return answer_by(home, read_generate); }

}  // namespace pippin::api::ollama
