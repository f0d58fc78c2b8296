#include "app/chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "base/environment.h"

namespace pippin::app {
namespace {

constexpr const char* kHelp = R"(  /set                  shows what can be set
  /set NAME VALUE       sets it: system, temperature, max-tokens or seed
  /clear                forgets the conversation
  /bye                  ends the chat, as Ctrl-D does
  Ctrl-C                stops the answer
  a line ending in \    goes on in the next line
)";

constexpr std::string_view kSettable[] = {"system", "temperature", "max-tokens", "seed"};

service::Message message(service::Role role, std::string text) {
  service::Message out;
  out.role = role;
  out.parts.push_back(service::TextPart{std::move(text)});
  return out;
}

const Setting& setting_named(std::string_view name) {
  const auto table = settings_table();
  return *std::ranges::find_if(table, [name](const Setting& setting) {
    return setting.is_for(Command::kRun) && setting.flag.ends_with(name) &&
           setting.flag.size() == name.size() + 2;
  });
}

}  // namespace

Chat::Chat(const service::Model& model, const Settings& settings)
    : model_(model), settings_(settings) {
  forget();
}

void Chat::forget() {
  conversation_.messages.clear();
  if (!settings_.system_prompt.empty())
    conversation_.messages.push_back(message(service::Role::kSystem, settings_.system_prompt));
}

service::Request Chat::ask(const std::string& text) {
  service::Request request;
  conversation_.messages.push_back(message(service::Role::kUser, text));
  if (model_.chat_template != nullptr) {
    request.prompts.emplace_back(conversation_);
  } else {
    request.prompts.emplace_back(service::TextPrompt{text});
  }
  request.sampling = model_.default_sampling;
  if (settings_.temperature)
    request.sampling.temperature = static_cast<float>(*settings_.temperature);
  if (settings_.seed) request.seed = static_cast<uint64_t>(*settings_.seed);
  if (settings_.output_tokens_max > 0) request.max_tokens = settings_.output_tokens_max;
  return request;
}

void Chat::hear(const std::optional<std::string>& answer) {
  if (answer) {
    conversation_.messages.push_back(message(service::Role::kAssistant, *answer));
  } else if (!conversation_.messages.empty()) {
    conversation_.messages.pop_back();
  }
}

std::string Chat::set(const std::string& name, const std::string& value) {
  if (name.empty()) {
    const auto number = [](const auto& option) {
      return option ? fmt::to_string(*option) : std::string("not set");
    };
    return fmt::format(
        "  system       {}\n  temperature  {}\n  max-tokens   {}\n  seed         {}\n",
        settings_.system_prompt.empty() ? "not set" : settings_.system_prompt,
        number(settings_.temperature),
        settings_.output_tokens_max > 0 ? fmt::to_string(settings_.output_tokens_max) : "not set",
        number(settings_.seed));
  }
  if (std::ranges::find(kSettable, name) == std::end(kSettable))
    return fmt::format("there is no {} to set; /set shows what there is\n", name);
  const Result<void> result = set_setting(settings_, setting_named(name), value, name);
  if (!result.ok()) return result.error().message + "\n";
  if (name != "system") return {};
  forget();
  return "the conversation starts again\n";
}

std::string Chat::command(const std::string& line) {
  std::istringstream words(line);
  std::string verb, name, value;
  words >> verb >> name;
  std::getline(words >> std::ws, value);
  if (verb == "/help" || verb == "/?") return kHelp;
  if (verb == "/bye" || verb == "/exit" || verb == "/quit") {
    ended_ = true;
    return {};
  }
  if (verb == "/clear") {
    forget();
    return "the conversation is forgotten\n";
  }
  if (verb == "/set") return set(name, value);
  return fmt::format("{} is not a command; /help lists them\n", verb);
}

std::filesystem::path history_file(const Environment& environment) {
  return folder_of_home(environment, "XDG_STATE_HOME", ".local/state") / "pippin" / "history";
}

}  // namespace pippin::app
