// POST /api/embed and POST /api/embeddings: what is wrong with the request is said; a right one
// meets no model that could answer it yet.
#include <fmt/format.h>

#include "api/ollama/call.h"
#include "api/ollama/errors.h"
#include "api/ollama/ollama.h"

namespace pippin::api::ollama {

Handler embed(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    std::optional<Call> call = open_call(*home, *exchange);
    if (!call) return;
    const std::optional<Wanted> wanted = find_model(*home, *exchange, *call);
    if (!wanted) return;
    exchange->respond(error_response(
        fail(Code::kUnsupported,
             fmt::format("\"{}\" does not support embeddings: this version serves language models "
                         "only",
                         wanted->name),
             "model")));
  };
}

}  // namespace pippin::api::ollama
