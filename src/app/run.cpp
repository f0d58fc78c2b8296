// pippin run: one prompt, a pipe's text, or a chat, against a model in this process.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>

#include "app/answer.h"
#include "app/chat.h"
#include "app/commands.h"
#include "app/default_model.h"
#include "app/interrupts.h"
#include "app/loading.h"
#include "app/terminal.h"
#include "service/models/model_pool.h"

namespace pippin::app {
namespace {

constexpr size_t kPipeBytesMax = 16 << 20;
constexpr int kExitInterrupted = 128 + SIGINT, kExitTerminated = 128 + SIGTERM;

/// Reads stdin to its end. Errors: kTooLarge; kInvalidArgument if there is nothing to answer.
Result<std::string> read_pipe() {
  std::string text;
  char buffer[1 << 16];
  while (const size_t count = std::fread(buffer, 1, sizeof(buffer), stdin)) {
    text.append(buffer, count);
    if (text.size() > kPipeBytesMax)
      return fail(Code::kTooLarge,
                  fmt::format("stdin holds more than {} MiB", kPipeBytesMax >> 20));
  }
  while (text.ends_with('\n')) text.pop_back();
  if (text.empty())
    return fail(Code::kInvalidArgument, "stdin is empty: there is nothing to answer");
  return text;
}

/// Writes an answer as it comes; to a terminal without what could steer it, and with the thinking
/// before it, dimmed. Into a pipe goes the answer alone. Returns false if nobody reads.
class Printer {
 public:
  bool operator()(Voice voice, std::string_view text) {
    if (!terminal_) return voice == Voice::kThinking || write(text);
    if (voice != voice_ && !at_line_start_ && !write("\n")) return false;
    voice_ = voice;
    const std::string shown = printable(text);
    return voice == Voice::kAnswer ? write(shown) : write("\033[2m" + shown + "\033[0m", shown);
  }
  void end_line() {
    if (!at_line_start_) std::fputc('\n', stdout);
    std::fflush(stdout);
    at_line_start_ = true;
    voice_ = Voice::kAnswer;
  }

 private:
  bool write(std::string_view bytes) { return write(bytes, bytes); }
  bool write(std::string_view bytes, std::string_view seen) {
    if (!seen.empty()) at_line_start_ = seen.back() == '\n';
    return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() &&
           std::fflush(stdout) == 0;
  }

  const bool terminal_ = is_terminal(stdout);
  Voice voice_ = Voice::kAnswer;
  bool at_line_start_ = true;
};

Result<int> answer_once(service::ModelPool& models, Chat& chat, const std::string& prompt) {
  Interrupts::set(OnInterrupt::kCount);
  Printer printer;
  ASSIGN_OR_RETURN(const Answer answer, stream_answer(models, chat.ask(prompt), std::ref(printer)));
  printer.end_line();
  if (Interrupts::terminated()) return kExitTerminated;
  return Interrupts::pending() ? kExitInterrupted : kExitOk;
}

/// "48 tokens, 61.0 tokens/s, first after 0.20 s"
std::string speed_text(const Answer& answer) {
  std::string text = fmt::format("{} tokens", answer.usage.completion_tokens);
  if (answer.usage.completion_tokens > 1 && answer.decode_s > 0)
    text +=
        fmt::format(", {:.1f} tokens/s", (answer.usage.completion_tokens - 1) / answer.decode_s);
  return text + fmt::format(", first after {:.2f} s", answer.first_token_s);
}

void converse(service::ModelPool& models, Chat& chat, const std::string& text) {
  Printer printer;
  const Result<Answer> answer = stream_answer(models, chat.ask(text), std::ref(printer));
  printer.end_line();
  if (answer.ok() && answer->reason == service::FinishReason::kCancelled) Interrupts::forget();
  if (!answer.ok()) {
    chat.hear(std::nullopt);
    fmt::print("{}\n", printable(answer.error().message));
    if (answer.error().code == Code::kContextLength) fmt::print("/clear makes room.\n");
    return;
  }
  chat.hear(answer->text);
  const char* stopped = answer->reason == service::FinishReason::kCancelled ? "stopped; " : "";
  const char* cut = answer->reason == service::FinishReason::kLength ? "cut at the limit; " : "";
  fmt::print("\033[2m[{}{}{}]\033[0m\n\n", stopped, cut, speed_text(*answer));
}

/// Reads a text of one or more lines.
LineEditor::Outcome read_text(LineEditor& editor, std::string& text) {
  text.clear();
  std::string line;
  while (true) {
    const LineEditor::Outcome outcome = editor.read(line);
    if (outcome != LineEditor::Outcome::kLine) return outcome;
    text += line;
    if (!text.ends_with('\\')) return outcome;
    text.back() = '\n';
  }
}

int chat_in_terminal(service::ModelPool& models, Chat& chat, const std::string& id) {
  fmt::print("{}: /help lists the commands, Ctrl-D ends the chat.\n\n", id);
  std::fflush(stdout);
  Interrupts::set(OnInterrupt::kCount);
  LineEditor editor("> ", history_file(environment_variable));
  std::string text;
  while (!chat.ended() && !Interrupts::terminated()) {
    std::fflush(stdout);
    const LineEditor::Outcome outcome = read_text(editor, text);
    if (outcome == LineEditor::Outcome::kEnd) {
      fmt::print("\n");
      break;
    }
    if (outcome == LineEditor::Outcome::kInterrupted) {
      Interrupts::forget();
      fmt::print("\n");
    } else if (Chat::is_command(text)) {
      fmt::print("{}", chat.command(text));
    } else if (text.find_first_not_of(" \t\n") != std::string::npos) {
      converse(models, chat, text);
    }
  }
  return Interrupts::terminated() ? kExitTerminated : kExitOk;
}

}  // namespace

Result<int> run(const Settings& settings, const std::string& named,
                const std::optional<std::string>& prompt) {
  ASSIGN_OR_RETURN(const hub::LocalModel found, find_model(named, settings, environment_variable));
  // What is to be answered is known before the seconds of loading, where it can be.
  std::optional<std::string> text = prompt;
  if (!text && !is_terminal(stdin)) {
    ASSIGN_OR_RETURN(text, read_pipe());
  }
  Interrupts::install();
  std::optional<TypeAhead> type_ahead;
  if (!text) type_ahead.emplace();
  ASSIGN_OR_RETURN(std::unique_ptr<service::Model> loaded, load_for(settings, found, 1));
  service::ModelPool models;
  const service::Model& model = *loaded;
  models.add(std::move(loaded));
  if (model.chat_template == nullptr)
    fmt::print(stderr, "{} has no chat template: it goes on where a text ends\n", model.id);
  Chat chat(model, settings);
  if (text) return answer_once(models, chat, *text);
  return chat_in_terminal(models, chat, model.id);
}

}  // namespace pippin::app
