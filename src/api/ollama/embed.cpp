// POST /api/embed and POST /api/embeddings: what is wrong with the request is said; a right one
// meets no model that could answer it yet.
#include <fmt/format.h>

#include "api/ollama/errors.h"
#include "api/ollama/model_route.h"
#include "api/ollama/ollama.h"

namespace pippin::api::ollama {

Handler embed(const Home& home) {
  return [home](std::shared_ptr<Exchange> exchange) {
    std::optional<boost::json::object> body = open_body(*home, *exchange);
    if (!body) return;
    FieldReader reader(*body);
    const std::optional<Wanted> wanted = find_model(*home, *exchange, reader);
    if (!reader.ok()) return exchange->respond(error_response(*reader.error()));
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
