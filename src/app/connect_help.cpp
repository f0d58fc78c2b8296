#include "app/connect_help.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace pippin::app {

std::string url_of(const std::string& host, uint16_t port, bool tls) {
  std::string name = host;
  if (host.empty() || host == "0.0.0.0") name = "127.0.0.1";
  if (host == "::") name = "::1";
  if (name.find(':') != std::string::npos && !name.starts_with('[')) name = "[" + name + "]";
  return fmt::format("{}://{}:{}", tls ? "https" : "http", name, port);
}

bool is_loopback(const std::string& host) {
  if (host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

Result<void> check_exposure(const std::string& host, bool asks_for_keys,
                            bool allow_unauthenticated) {
  if (is_loopback(host) || asks_for_keys || allow_unauthenticated) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("--host {}: listening beyond loopback needs API keys or "
                          "--allow-unauthenticated.\n"
                          "  `pippin key create NAME` makes a key. --allow-unauthenticated lets "
                          "everyone who can reach\n"
                          "  that address use the models. Without --host, only this machine is "
                          "served.",
                          host),
              "--host");
}

std::string shell_quoted(const std::string& text) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("_-./~+:,@%").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!text.empty() && text[0] != '~' && std::ranges::all_of(text, is_plain)) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

namespace {

std::string indented(const std::string& lines) {
  std::string out;
  for (size_t begin = 0; begin < lines.size();) {
    const size_t end = std::min(lines.find('\n', begin), lines.size() - 1) + 1;
    out += "  " + lines.substr(begin, end - begin);
    begin = end;
  }
  return out;
}

}  // namespace

std::string ready_text(const std::string& url, const ServedModel& model) {
  return fmt::format(
      R"(
pippin serves {id} at {url}

  model     {id} ({architecture}), in requests also "default"
  context   {context} tokens
  memory
{plan}
Three ways to ask it:

  curl {url}/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{{"model": "default", "messages": [{{"role": "user", "content": "Hello!"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="{url}/v1", api_key="none")
  answer = client.chat.completions.create(model="default", messages=[{{"role": "user", "content": "Hello!"}}])
  print(answer.choices[0].message.content)

  pippin run {path} "Hello!"

Ctrl-C lets running answers end and stops; a second one stops at once.
)",
      fmt::arg("id", model.id), fmt::arg("url", url), fmt::arg("architecture", model.architecture),
      fmt::arg("context", model.context_tokens), fmt::arg("plan", indented(model.memory_plan)),
      fmt::arg("path", shell_quoted(model.path)));
}

}  // namespace pippin::app
