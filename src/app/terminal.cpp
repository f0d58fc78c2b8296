#include "app/terminal.h"

#include <histedit.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cwchar>

#include "app/interrupts.h"

namespace pippin::app {

bool is_terminal(std::FILE* file) { return isatty(fileno(file)) == 1; }

size_t terminal_columns(std::FILE* file) {
  winsize size{};
  if (ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return std::max<size_t>(size.ws_col, 20);
}

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) continue;
    // U+0080 to U+009F, the C1 controls, are C2 80 to C2 9F.
    if (byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      ++i;
      continue;
    }
    out += text[i];
  }
  return out;
}

struct TypeAhead::Impl {
  termios before{};
};

TypeAhead::TypeAhead() : impl_(std::make_unique<Impl>()) {
  if (tcgetattr(STDIN_FILENO, &impl_->before) != 0) return;
  Interrupts::restore_at_quit(&impl_->before);
  termios quiet = impl_->before;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
}

TypeAhead::~TypeAhead() {
  tcsetattr(STDIN_FILENO, TCSADRAIN, &impl_->before);
  Interrupts::restore_at_quit(nullptr);
}

namespace {

constexpr int kHistoryLines = 1000;
constexpr int kLookForSignalsMs = 50;

char* prompt_of(EditLine* line) {
  void* prompt = nullptr;
  el_get(line, EL_CLIENTDATA, &prompt);
  return static_cast<char*>(prompt);
}

/// Reads one character. libedit's own reader goes on after a first signal; ours lets Ctrl-C end the
/// line.
int read_character(EditLine*, wchar_t* character) {
  std::mbstate_t state{};
  for (int bytes = 0; bytes < 8; ++bytes) {
    // A signal that comes just before a read would not end it: look for one now and then.
    pollfd input{STDIN_FILENO, POLLIN, 0};
    int ready = 0;
    while (ready == 0) {
      if (Interrupts::pending()) {
        errno = EINTR;
        return -1;
      }
      ready = ::poll(&input, 1, kLookForSignalsMs);
    }
    if (ready < 0) return -1;
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count <= 0) return static_cast<int>(count);
    const size_t result = std::mbrtowc(character, &byte, 1, &state);
    if (result <= 1) return 1;
    if (result == static_cast<size_t>(-1)) {  // not of the locale: skipped, and the next one read
      state = {};
      bytes = -1;
    }
  }
  return 0;
}

}  // namespace

struct LineEditor::Impl {
  std::string prompt;
  std::filesystem::path history_file;
  EditLine* line = nullptr;
  History* history = nullptr;
};

LineEditor::LineEditor(const std::string& prompt, std::filesystem::path history_file)
    : impl_(std::make_unique<Impl>()) {
  std::setlocale(LC_CTYPE,
                 "");  // libedit reads characters of the locale; numbers keep their points
  impl_->prompt = prompt;
  impl_->history_file = std::move(history_file);
  impl_->line = el_init("pippin", stdin, stdout, stderr);
  impl_->history = history_init();
  el_set(impl_->line, EL_CLIENTDATA, impl_->prompt.data());
  el_set(impl_->line, EL_PROMPT, &prompt_of);
  el_set(impl_->line, EL_EDITOR, "emacs");
  el_set(impl_->line, EL_SIGNAL, 0);  // Ctrl-C is ours
  // Between two lines the terminal stays as TypeAhead has made it.
  el_set(impl_->line, EL_SETTY, "-x", "-echo", "-icanon", nullptr);
  el_set(impl_->line, EL_GETCFN, &read_character);
  el_set(impl_->line, EL_HIST, history, impl_->history);
  el_set(impl_->line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(impl_->line, nullptr);

  HistEvent event;
  history(impl_->history, &event, H_SETSIZE, kHistoryLines);
  history(impl_->history, &event, H_SETUNIQUE, 1);
  history(impl_->history, &event, H_LOAD, impl_->history_file.c_str());
}

LineEditor::~LineEditor() {
  history_end(impl_->history);
  el_end(impl_->line);
}

LineEditor::Outcome LineEditor::read(std::string& line) {
  int count = 0;
  errno = 0;
  el_resize(impl_->line);
  const char* text = el_gets(impl_->line, &count);
  if (text == nullptr || count <= 0) {
    const bool interrupted = errno == EINTR;
    el_reset(impl_->line);
    return interrupted ? Outcome::kInterrupted : Outcome::kEnd;
  }
  line.assign(text, static_cast<size_t>(count));
  while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
  if (line.find_first_not_of(" \t") == std::string::npos) return Outcome::kLine;

  HistEvent event;
  history(impl_->history, &event, H_ENTER, line.c_str());
  std::error_code ignored;
  std::filesystem::create_directories(impl_->history_file.parent_path(), ignored);
  const mode_t before = umask(077);  // what was asked is nobody else's business
  history(impl_->history, &event, H_SAVE, impl_->history_file.c_str());
  umask(before);
  return Outcome::kLine;
}

}  // namespace pippin::app
