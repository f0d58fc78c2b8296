// The Ollama API: its routes. Handlers run on the worker pool.
#pragma once

#include <memory>

#include "api/exchange.h"
#include "api/ollama/library.h"

namespace pippin::api::ollama {

using Home = std::shared_ptr<const Library>;

/// POST /api/generate
Handler generate(const Home& home);
/// POST /api/chat
Handler chat(const Home& home);
/// POST /api/embed and /api/embeddings: an error that says so, until a model can do it.
Handler embed(const Home& home);

/// GET /api/tags
Handler list_models(const Home& home);
/// GET /api/ps
Handler list_running(const Home& home);
/// POST /api/show
Handler show_model(const Home& home);
/// GET /api/version
Handler version();
/// GET /: what clients take for a sign of life.
Handler greeting();

/// POST /api/create
Handler create_model(const Home& home);
/// POST /api/copy
Handler copy_model(const Home& home);
/// DELETE /api/delete
Handler delete_model(const Home& home);
/// POST /api/pull
Handler pull_model(const Home& home);
/// POST /api/push: an error that says so.
Handler push_model(const Home& home);

/// HEAD /api/blobs/{digest}
Handler find_blob(const Home& home);
/// POST /api/blobs/{digest}
Handler store_blob(const Home& home);

}  // namespace pippin::api::ollama
