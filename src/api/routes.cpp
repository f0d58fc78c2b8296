#include "api/routes.h"

#include "api/anthropic/anthropic.h"
#include "api/llama/llama.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/openai/responses/responses.h"

namespace pippin::api {
namespace {

void add_anthropic_routes(Router& router, const Context& context) {
  const auto seal = std::make_shared<const anthropic::Seal>(context.signing_key);
  std::shared_ptr<anthropic::BatchRunner> runner;
  if (context.batches != nullptr) runner = std::make_shared<anthropic::BatchRunner>(context, seal);
  router.add("POST", "/v1/messages", anthropic::messages(context, seal));
  router.add("POST", "/v1/messages/count_tokens", anthropic::count_tokens(context, seal));
  router.add("POST", "/v1/messages/batches", anthropic::create_batch(context, runner));
  router.add("GET", "/v1/messages/batches", anthropic::list_batches(context, runner));
  router.add("GET", "/v1/messages/batches/{id}", anthropic::get_batch(context, runner));
  router.add("DELETE", "/v1/messages/batches/{id}", anthropic::delete_batch(context, runner));
  router.add("POST", "/v1/messages/batches/{id}/cancel", anthropic::cancel_batch(context, runner));
  router.add("GET", "/v1/messages/batches/{id}/results", anthropic::batch_results(context, runner));
}

void add_ollama_routes(Router& router, const Context& context) {
  const auto home = std::make_shared<const ollama::Library>(context);
  router.add("GET", "/", ollama::greeting());
  router.add("GET", "/api/version", ollama::version());
  router.add("GET", "/api/tags", ollama::list_models(home));
  router.add("GET", "/api/ps", ollama::list_running(home));
  router.add("POST", "/api/show", ollama::show_model(home));
  router.add("POST", "/api/generate", ollama::generate(home));
  router.add("POST", "/api/chat", ollama::chat(home));
  router.add("POST", "/api/embed", ollama::embed(home));
  router.add("POST", "/api/embeddings", ollama::embed(home));
  router.add("POST", "/api/create", ollama::create_model(home));
  router.add("POST", "/api/copy", ollama::copy_model(home));
  router.add("DELETE", "/api/delete", ollama::delete_model(home));
  router.add("POST", "/api/pull", ollama::pull_model(home));
  router.add("POST", "/api/push", ollama::push_model(home));
  router.add("HEAD", "/api/blobs/{digest}", ollama::find_blob(home));
  router.add("POST", "/api/blobs/{digest}", ollama::store_blob(home));
}

void add_llama_routes(Router& router, const Context& context) {
  router.add("GET", "/props", llama::props(context));
  router.add("GET", "/slots", llama::slots(context));
  router.add("GET", "/models", openai::list_models(context));
  router.add("POST", "/models/load", llama::load_model(context));
  router.add("POST", "/models/unload", llama::unload_model(context));
  router.add("POST", "/v1/models/load", llama::load_model(context));
  router.add("POST", "/v1/models/unload", llama::unload_model(context));
  router.add("POST", "/completion", llama::completion(context));
  router.add("POST", "/completions", llama::completion(context));
  router.add("POST", "/infill", llama::infill(context));
  router.add("POST", "/apply-template", llama::apply_template(context));
  router.add("POST", "/tokenize", llama::tokenize(context, openai::tokenize(context)));
  router.add("POST", "/detokenize", openai::detokenize(context));
}

}  // namespace

void add_routes(Router& router, const Context& context) {
  const auto runs = std::make_shared<openai::responses::Runs>();
  router.add("GET", "/health", health(context));
  router.add("GET", "/metrics", metrics(context));
  router.add("GET", "/v1/status", status(context));
  router.add("POST", "/v1/requests/{id}/cancel", cancel_request(context));
  router.add("DELETE", "/v1/requests/{id...}", cancel_request(context));
  router.add("GET", "/v1/models", anthropic::list_models(context, openai::list_models(context)));
  router.add("GET", "/v1/models/{id...}",
             anthropic::get_model(context, openai::get_model(context)));
  router.add("POST", "/v1/chat/completions", openai::chat_completions(context));
  router.add("POST", "/v1/completions", openai::completions(context));
  router.add("POST", "/v1/tokenize", openai::tokenize(context));
  router.add("POST", "/v1/detokenize", openai::detokenize(context));
  router.add("POST", "/v1/responses", openai::responses::create(context, runs));
  router.add("POST", "/v1/responses/input_tokens", openai::responses::count_input_tokens(context));
  router.add("GET", "/v1/responses/{id}", openai::responses::retrieve(context, runs));
  router.add("DELETE", "/v1/responses/{id}", openai::responses::remove(context, runs));
  router.add("POST", "/v1/responses/{id}/cancel", openai::responses::cancel(context, runs));
  router.add("GET", "/v1/responses/{id}/input_items", openai::responses::list_input_items(context));
  add_anthropic_routes(router, context);
  add_ollama_routes(router, context);
  add_llama_routes(router, context);
}

}  // namespace pippin::api
