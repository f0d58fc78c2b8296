#include "api/routes.h"

#include <utility>
#include <vector>

#include "api/anthropic/anthropic.h"
#include "api/llama/llama.h"
#include "api/ollama/ollama.h"
#include "api/openai/openai.h"
#include "api/openai/responses/responses.h"

namespace pippin::api {
namespace {

// What routes say of themselves.
constexpr Rule kLooks{Action::kLook, Object::kServer};
constexpr Rule kSeesOwn{Action::kLook, Object::kSupervised};
constexpr Rule kUses{Action::kUse, Object::kServer};
constexpr Rule kUsesPrivate{Action::kUse, Object::kPrivate};
constexpr Rule kEndsOwn{Action::kUse, Object::kSupervised};
constexpr Rule kManages{Action::kManage, Object::kServer};
constexpr Rule kAdministers{Action::kAdminister, Object::kServer};

/// GET /v1/routes: the table itself, for who wants to check it.
Handler list_routes(std::vector<Router::Listed> routes) {
  return [routes = std::move(routes)](std::shared_ptr<Exchange> exchange) {
    Response response;
    service::JsonWriter json(response.body);
    json.begin_object().field("object", "list").key("data").begin_array();
    for (const Router::Listed& route : routes) {
      json.begin_object().field("method", route.method).field("path", route.pattern);
      json.field("action", name_of(route.rule.action));
      json.field("role", name_of(role_for(route.rule.action)));
      json.field("object", name_of(route.rule.object)).end_object();
    }
    json.end_array().end_object();
    exchange->respond(std::move(response));
  };
}

void add_anthropic_routes(Router& router, const Context& context) {
  const auto signer = std::make_shared<const anthropic::Signer>(context.signing_key);
  std::shared_ptr<anthropic::BatchRunner> runner;
  if (context.batches != nullptr) {
    runner = std::make_shared<anthropic::BatchRunner>(
        context, anthropic::messages(context, signer, anthropic::Origin::kBatch));
    runner->start();
  }
  router.add("POST", "/v1/messages", kUses, anthropic::messages(context, signer));
  router.add("POST", "/v1/messages/count_tokens", kUses, anthropic::count_tokens(context, signer));
  router.add("POST", "/v1/messages/batches", kUsesPrivate,
             anthropic::create_batch(context, runner));
  router.add("GET", "/v1/messages/batches", kUsesPrivate, anthropic::list_batches(context, runner));
  router.add("GET", "/v1/messages/batches/{id}", kUsesPrivate,
             anthropic::get_batch(context, runner));
  router.add("DELETE", "/v1/messages/batches/{id}", kUsesPrivate,
             anthropic::delete_batch(context, runner));
  router.add("POST", "/v1/messages/batches/{id}/cancel", kUsesPrivate,
             anthropic::cancel_batch(context, runner));
  router.add("GET", "/v1/messages/batches/{id}/results", kUsesPrivate,
             anthropic::batch_results(context, runner));
}

void add_ollama_routes(Router& router, const Context& context) {
  const auto home = std::make_shared<const ollama::Library>(context);
  router.add("GET", "/", kLooks, ollama::greeting());
  router.add("GET", "/api/version", kLooks, ollama::version());
  router.add("GET", "/api/tags", kLooks, ollama::list_models(home));
  router.add("GET", "/api/ps", kLooks, ollama::list_running(home));
  router.add("POST", "/api/show", kLooks, ollama::show_model(home));
  router.add("POST", "/api/generate", kUses, ollama::generate(home));
  router.add("POST", "/api/chat", kUses, ollama::chat(home));
  router.add("POST", "/api/embed", kUses, ollama::embed(home));
  router.add("POST", "/api/embeddings", kUses, ollama::embed(home));
  router.add("POST", "/api/create", kUsesPrivate, ollama::create_model(home));
  router.add("POST", "/api/copy", kUsesPrivate, ollama::copy_model(home));
  router.add("DELETE", "/api/delete", kUsesPrivate, ollama::delete_model(home));
  router.add("POST", "/api/pull", kManages, ollama::pull_model(home));
  router.add("POST", "/api/push", kManages, ollama::push_model(home));
  router.add("HEAD", "/api/blobs/{digest}", kManages, ollama::find_blob(home));
  router.add("POST", "/api/blobs/{digest}", kManages, ollama::store_blob(home));
}

void add_llama_routes(Router& router, const Context& context) {
  router.add("GET", "/props", kLooks, llama::props(context));
  router.add("GET", "/slots", kSeesOwn, llama::slots(context));
  router.add("GET", "/models", kLooks, openai::list_models(context));
  router.add("POST", "/models/load", kManages, llama::load_model(context));
  router.add("POST", "/models/unload", kManages, llama::unload_model(context));
  router.add("POST", "/v1/models/load", kManages, llama::load_model(context));
  router.add("POST", "/v1/models/unload", kManages, llama::unload_model(context));
  router.add("POST", "/completion", kUses, llama::completion(context));
  router.add("POST", "/completions", kUses, llama::completion(context));
  router.add("POST", "/infill", kUses, llama::infill(context));
  router.add("POST", "/apply-template", kUses, llama::apply_template(context));
  router.add("POST", "/tokenize", kUses, llama::tokenize(context, openai::tokenize(context)));
  router.add("POST", "/detokenize", kUses, openai::detokenize(context));
}

}  // namespace

void add_routes(Router& router, const Context& context) {
  const auto runs = std::make_shared<openai::responses::Runs>();
  router.add("GET", "/health", kLooks, health(context));
  router.add("GET", "/metrics", kLooks, metrics(context));
  router.add("GET", "/v1/status", kSeesOwn, status(context));
  router.add("POST", "/v1/requests/{id}/cancel", kEndsOwn, cancel_request(context));
  router.add("DELETE", "/v1/requests/{id...}", kEndsOwn, cancel_request(context));
  router.add("GET", "/v1/models", kLooks,
             anthropic::list_models(context, openai::list_models(context)));
  router.add("GET", "/v1/models/{id...}", kLooks,
             anthropic::get_model(context, openai::get_model(context)));
  router.add("POST", "/v1/chat/completions", kUses, openai::chat_completions(context));
  router.add("POST", "/v1/completions", kUses, openai::completions(context));
  router.add("POST", "/v1/tokenize", kUses, openai::tokenize(context));
  router.add("POST", "/v1/detokenize", kUses, openai::detokenize(context));
  router.add("POST", "/v1/responses", kUsesPrivate, openai::responses::create(context, runs));
  router.add("POST", "/v1/responses/input_tokens", kUses,
             openai::responses::count_input_tokens(context));
  router.add("GET", "/v1/responses/{id}", kUsesPrivate, openai::responses::retrieve(context, runs));
  router.add("DELETE", "/v1/responses/{id}", kUsesPrivate,
             openai::responses::remove(context, runs));
  router.add("POST", "/v1/responses/{id}/cancel", kUsesPrivate,
             openai::responses::cancel(context, runs));
  router.add("GET", "/v1/responses/{id}/input_items", kUsesPrivate,
             openai::responses::list_input_items(context));
  add_anthropic_routes(router, context);
  add_ollama_routes(router, context);
  add_llama_routes(router, context);
  std::vector<Router::Listed> routes = router.list();
  routes.push_back({"GET", "/v1/routes", kAdministers});
  router.add("GET", "/v1/routes", kAdministers, list_routes(std::move(routes)));
}

}  // namespace pippin::api
