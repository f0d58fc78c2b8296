#include "app/clients.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/connect_help.h"
#include "service/json.h"

namespace pippin::app {
namespace {

// How long a client waits for a stream's next event. A long prompt on a CPU takes minutes, and
// their own limits are four or five.
constexpr const char* kPatienceMs = "3600000";

// Of a window that Claude Code is told of, it keeps its longest answer and 13,000 tokens free, and
// its own prompt has 12,000: a smaller one would be full from the first word on. Untold, it
// shortens a conversation when the server refuses it as too long.
constexpr int kClaudeWindowMin = 40'000;

ClientSetup claude(const ServerAddress& server) {
  ClientSetup setup;
  setup.program = "claude";
  setup.install = "npm install -g @anthropic-ai/claude-code";
  setup.variables = {{"ANTHROPIC_BASE_URL", server.url},
                     {"ANTHROPIC_AUTH_TOKEN", server.key},
                     {"ANTHROPIC_MODEL", server.model},
                     // For titles and summaries; else it asks for a model that is not here.
                     {"ANTHROPIC_DEFAULT_HAIKU_MODEL", server.model},
                     // A line that changes with each request, before everything else.
                     {"CLAUDE_CODE_ATTRIBUTION_HEADER", "0"},
                     {"API_TIMEOUT_MS", kPatienceMs},
                     // Its timeout for silence ignores pings: only events of the answer count.
                     {"CLAUDE_STREAM_IDLE_TIMEOUT_MS", kPatienceMs},
                     {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"}};
  if (server.context_tokens >= kClaudeWindowMin) {
    // Else it takes a model that it does not know for one of a million tokens.
    setup.variables.emplace_back("CLAUDE_CODE_MAX_CONTEXT_TOKENS",
                                 fmt::to_string(server.context_tokens));
    setup.variables.emplace_back("CLAUDE_CODE_MAX_OUTPUT_TOKENS",
                                 fmt::to_string(server.context_tokens / 4));
  }
  return setup;
}

// A JSON string is a TOML string as well.
std::string toml_text(const std::string& text) {
  std::string quoted;
  service::append_json_string(quoted, text);
  return quoted;
}

ClientSetup codex(const ServerAddress& server) {
  ClientSetup setup;
  setup.program = "codex";
  setup.install = "npm install -g @openai/codex";
  setup.variables = {{"PIPPIN_API_KEY", server.key}};
  const auto set = [&](const std::string& name, const std::string& value) {
    setup.arguments.insert(setup.arguments.end(), {"-c", name + "=" + value});
  };
  set("model_providers.pippin.name", "\"pippin\"");
  set("model_providers.pippin.base_url", toml_text(server.url + "/v1"));
  set("model_providers.pippin.env_key", "\"PIPPIN_API_KEY\"");
  set("model_providers.pippin.wire_api", "\"responses\"");
  set("model_providers.pippin.stream_idle_timeout_ms", kPatienceMs);
  set("model_provider", "\"pippin\"");
  set("model", toml_text(server.model));
  if (server.context_tokens > 0) set("model_context_window", fmt::to_string(server.context_tokens));
  return setup;
}

ClientSetup opencode(const ServerAddress& server) {
  std::string config;
  service::JsonWriter json(config);
  json.begin_object().field("model", "pippin/" + server.model);
  json.key("provider").begin_object().key("pippin").begin_object();
  json.field("npm", "@ai-sdk/openai-compatible").field("name", "pippin");
  json.key("options").begin_object();
  json.field("baseURL", server.url + "/v1").field("apiKey", server.key);
  json.field("timeout", false).end_object();
  json.key("models")
      .begin_object()
      .key_text(server.model)
      .begin_object()
      .field("name", server.model);
  if (server.context_tokens > 0) {
    json.key("limit").begin_object().field("context", server.context_tokens);
    json.field("output", server.context_tokens / 4).end_object();
  }
  json.end_object().end_object().end_object().end_object().end_object();
  ClientSetup setup;
  setup.program = "opencode";
  setup.install = "npm install -g opencode-ai";
  setup.variables = {{"OPENCODE_CONFIG_CONTENT", config}};
  return setup;
}

ClientSetup qwen(const ServerAddress& server) {
  ClientSetup setup;
  setup.program = "qwen";
  setup.install = "npm install -g @qwen-code/qwen-code";
  setup.arguments = {"--auth-type", "openai"};
  setup.variables = {{"OPENAI_BASE_URL", server.url + "/v1"},
                     {"OPENAI_API_KEY", server.key},
                     {"OPENAI_MODEL", server.model},
                     {"QWEN_STREAM_IDLE_TIMEOUT_MS", kPatienceMs}};
  return setup;
}

ClientSetup goose(const ServerAddress& server) {
  ClientSetup setup;
  setup.program = "goose";
  setup.install = "see the download page of its project, block/goose";
  setup.arguments = {"session"};
  setup.variables = {{"GOOSE_PROVIDER", "openai"},
                     {"GOOSE_MODEL", server.model},
                     {"OPENAI_HOST", server.url},
                     {"OPENAI_BASE_PATH", "v1/chat/completions"},
                     {"OPENAI_API_KEY", server.key}};
  if (server.context_tokens > 0)
    setup.variables.emplace_back("GOOSE_CONTEXT_LIMIT", fmt::to_string(server.context_tokens));
  return setup;
}

ClientSetup aider(const ServerAddress& server) {
  ClientSetup setup;
  setup.program = "aider";
  setup.install = "python -m pip install aider-install && aider-install";
  setup.arguments = {"--model", "openai/" + server.model, "--no-show-model-warnings"};
  setup.variables = {{"OPENAI_API_BASE", server.url + "/v1"}, {"OPENAI_API_KEY", server.key}};
  return setup;
}

ClientSetup open_webui(const ServerAddress& server) {
  ClientSetup setup;
  setup.program = "open-webui";
  setup.install = "python -m pip install open-webui";
  setup.arguments = {"serve"};
  setup.variables = {{"OPENAI_API_BASE_URL", server.url + "/v1"},
                     {"OPENAI_API_KEY", server.key},
                     {"ENABLE_OLLAMA_API", "False"}};
  return setup;
}

// Node adds these certificates to its own; the others take them in place of the system's.
constexpr const char* kNodeCertificates = "NODE_EXTRA_CA_CERTS";
constexpr const char* kCertificates = "SSL_CERT_FILE";

constexpr std::string_view kNames[] = {"claude", "codex", "opencode",  "qwen",
                                       "goose",  "aider", "open-webui"};
constexpr ClientSetup (*kSetups[])(const ServerAddress&) = {claude, codex, opencode,  qwen,
                                                            goose,  aider, open_webui};
constexpr const char* kTrusts[] = {kNodeCertificates, kCertificates, kNodeCertificates,
                                   kNodeCertificates, kCertificates, kCertificates,
                                   kCertificates};

}  // namespace

std::string ClientSetup::to_text() const {
  std::string text;
  for (const auto& [name, value] : variables)
    text += "export " + name + "=" + shell_quoted(value) + "\n";
  text += shell_quoted(program);
  for (const std::string& argument : arguments) text += " " + shell_quoted(argument);
  return text + "\n";
}

std::span<const std::string_view> client_names() { return kNames; }

Result<ClientSetup> setup_client(std::string_view client, const ServerAddress& server) {
  const auto* found = std::ranges::find(kNames, client);
  if (found == std::end(kNames)) {
    return fail(Code::kInvalidArgument, fmt::format("launch: expected one of {}, got \"{}\"",
                                                    fmt::join(kNames, ", "), client));
  }
  ClientSetup setup = kSetups[found - kNames](server);
  if (!server.cacert.empty()) setup.variables.emplace_back(kTrusts[found - kNames], server.cacert);
  return setup;
}

}  // namespace pippin::app
