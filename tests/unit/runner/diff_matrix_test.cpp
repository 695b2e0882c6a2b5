// Every kind of change, in every form that git prints it in: the diff applied to what was must be what is.

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <random>

#include "common/os/file.h"
#include "runner/repo/apply.h"
#include "tests/unit/runner/git_tree.h"
#include "tests/unit/runner/tree_of.h"

using namespace dstack;
using namespace dstack::runner;

namespace {

using Options = std::vector<std::string>;

// Shell functions for both scripts of a kind.
const std::string words = R"(
  lines() { seq "$1" | sed 's/^/a line of some length, number /'; }
  bytes() { seq "$1" | gzip -nc; }
)";

struct Kind {
  const char* name;
  const char* before;
  const char* change;
};

const std::vector<Kind> kinds = {
    {"edit in the middle", "lines 50 >f", "sed -i 's/number 25$/number five and twenty/' f"},
    {"edit at the begin", "lines 50 >f", "sed -i '1s/a/another/' f"},
    {"edit at the end", "lines 50 >f", "sed -i '50s/a/another/' f"},
    {"several edits", "lines 200 >f", "sed -i -e '3d' -e '50a new' -e '100,110d' -e '199s/a/x/' f"},
    {"neighbouring edits", "lines 50 >f", "sed -i -e '20d' -e '24d' -e '28a x' f"},
    {"lines before the first", "lines 5 >f", "sed -i '1i zero' f"},
    {"lines after the last", "lines 5 >f", "echo more >>f"},
    {"all lines", "lines 50 >f", "seq 50 >f"},
    {"alike lines", "yes same | head -50 >f", "sed -i -e '10i other' -e '40d' f"},
    {"a single line", "echo a >f", "echo b >f"},
    {"to nothing", "lines 5 >f", ": >f"},
    {"from nothing", ": >f", "lines 5 >f"},
    {"an empty line", "printf 'a\\n\\nb\\n\\n' >f", "printf 'a\\n\\n\\nb\\n' >f"},
    {"blanks at line ends", "printf 'a \\n b\\t\\n' >f", "printf 'a  \\n b\\n' >f"},
    {"newline at the end lost", "printf 'a\\nb\\n' >f", "printf 'a\\nb' >f"},
    {"newline at the end gained", "printf 'a\\nb' >f", "printf 'a\\nb\\n' >f"},
    {"no newline before or after", "printf 'a\\nb' >f", "printf 'a\\nc' >f"},
    {"no newline, edit elsewhere", "{ lines 20; printf end; } >f", "sed -i '18d' f"},
    {"line ends of two kinds", "printf 'a\\r\\nb\\nc\\r\\n' >f", "printf 'a\\nb\\r\\nc\\r\\nd\\r\\n' >f"},
    {"carriage returns alone", "printf 'a\\rb\\rc' >f", "printf 'a\\rx\\rc\\r' >f"},
    {"lines like a diff's", "printf -- '--- a/f\\n+++ b/f\\n@@ -1 +1 @@\\n-x\\n' >f",
     "printf -- '--- a/g\\n@@ -1 +1 @@\\n+y\\ndiff --git a/x b/x\\n' >f"},
    {"lines like a mark of no newline", "printf '\\\\ No newline at end of file\\nx\\n' >f",
     "printf '\\\\ No newline at end of file\\ny' >f"},
    {"form feeds and other controls", "printf 'a\\fb\\013\\001\\n' >f", "printf 'a\\fc\\013\\002\\n' >f"},
    {"a very long line", "head -c 100000 /dev/zero | tr '\\0' x >f",
     "{ cat ../before/f 2>/dev/null || head -c 100000 /dev/zero | tr '\\0' y; echo; } >f.new; mv f.new f"},
    {"invalid UTF-8", "printf 'a\\377\\n' >f", "printf 'a\\376\\n' >f"},
    {"a new file", ":", "lines 5 >new"},
    {"a new empty file", ":", ": >new"},
    {"a new file without newline", ":", "printf x >new"},
    {"a new program", ":", "lines 3 >new; chmod +x new"},
    {"a new file in new folders", ":", "mkdir -p a/b/c; lines 3 >a/b/c/new"},
    {"a removed file", "lines 5 >f; echo x >g", "rm f"},
    {"a removed empty file", ": >f", "rm f"},
    {"a removed file without newline", "printf x >f", "rm f"},
    {"a removed folder", "mkdir -p a/b; lines 3 >a/b/f; lines 4 >a/g", "rm -r a"},
    {"a folder becomes a file", "mkdir a; lines 3 >a/f", "rm -r a; lines 3 >a"},
    {"a file becomes a folder", "lines 3 >a", "rm a; mkdir a; lines 3 >a/f"},
    {"a folder's file becomes the folder's name", "mkdir -p a/b; lines 30 >a/b/f", "mv a/b/f x; rm -r a; mv x a"},
    {"a new mode", "lines 5 >f", "chmod +x f"},
    {"a mode taken away", "lines 5 >f; chmod +x f", "chmod -x f"},
    {"a new mode and an edit", "lines 50 >f", "chmod +x f; sed -i 10d f"},
    {"a renamed file", "lines 50 >f", "mv f g"},
    {"a renamed and edited file", "lines 50 >f", "mv f g; sed -i 10d g"},
    {"a renamed file with a new mode", "lines 50 >f", "mv f g; chmod +x g"},
    {"a renamed empty file", ": >f", "mv f g"},
    {"a file moved to another folder", "mkdir a; lines 50 >a/f", "mkdir -p b/c; mv a/f b/c/f"},
    {"two files swapped", "lines 50 >f; seq 50 >g", "mv f x; mv g f; mv x g"},
    {"a ring of renames", "lines 50 >f; seq 50 >g; seq 100 150 >h", "mv f x; mv g f; mv h g; mv x h"},
    {"a renamed folder", "mkdir a; lines 30 >a/f; seq 40 >a/g", "mv a b"},
    {"a copy", "lines 50 >f", "cp f g"},
    {"a copy of an edited file", "lines 50 >f", "cp f g; sed -i 10d f"},
    {"an edited copy of an edited file", "lines 50 >f", "cp f g; sed -i 10d f; sed -i 20d g"},
    {"copies of a renamed file", "lines 50 >f", "cp f g; cp f h; mv f i; sed -i 5d h"},
    {"a copied program", "lines 50 >f; chmod +x f", "cp -p f g"},
    {"rewritten and moved", "lines 60 >f", "mv f g; seq 100 200 >f"},
    {"a binary edit", "bytes 500 >f", "bytes 600 >f"},
    {"a small binary edit in much", "bytes 30000 >f", "printf XXX | dd of=f bs=1 seek=20000 conv=notrunc 2>/dev/null"},
    {"a binary that grows", "bytes 30000 >f", "{ cat f; cat f; } >g; mv g f"},
    {"a new binary", ":", "bytes 500 >f"},
    {"a removed binary", "bytes 500 >f", "rm f"},
    {"a binary of zeros", ":", "head -c 300000 /dev/zero >f"},
    {"a renamed and edited binary", "bytes 30000 >f",
     "mv f g; printf XXX | dd of=g bs=1 seek=20000 conv=notrunc 2>/dev/null"},
    {"a copied binary", "bytes 3000 >f", "cp f g"},
    {"a binary program", "bytes 500 >f", "bytes 600 >f; chmod +x f"},
    {"a binary to nothing", "bytes 500 >f", ": >f"},
    {"a binary becomes text", "bytes 500 >f", "lines 5 >f"},
    {"text becomes a binary", "lines 5 >f", "bytes 500 >f"},
    {"a new link", ":", "ln -s target f"},
    {"a new link to the outside", ":", "ln -s /etc/passwd f; ln -s ../../x g"},
    {"a changed link", "ln -s one f", "ln -sfn two f"},
    {"a removed link", "ln -s one f", "rm f"},
    {"a renamed link", "ln -s a-target-of-some-length f", "mv f g"},
    {"a link becomes a file", "ln -s one f", "rm f; lines 5 >f"},
    {"a file becomes a link", "lines 5 >f", "rm f; ln -s one f"},
    {"a link becomes a folder", "ln -s one f", "rm f; mkdir f; lines 5 >f/g"},
    {"a folder becomes a link", "mkdir f; lines 5 >f/g", "rm -r f; ln -s one f"},
    {"a link to a folder", "mkdir a; lines 3 >a/f", "ln -s a b; sed -i 2d a/f"},
    {"blanks in names", "lines 50 >'a b'; mkdir 'c d'; lines 5 >'c d/e f'",
     "sed -i 5d 'a b'; rm 'c d/e f'; lines 3 >'g  h '"},
    {"a renamed file with blanks", "lines 50 >'a b'", "mv 'a b' 'b a b'; sed -i 5d 'b a b'"},
    {"names that look like two", "mkdir -p 'x b'; lines 9 >'x b/x'; lines 9 >'a b'",
     "sed -i 2d 'x b/x'; chmod +x 'a b'"},
    {"an empty file with blanks in its name", ":", ": >'a b'; : >' '"},
    {"a removed file with blanks in its name", "lines 5 >'a b'; : >'c d'", "rm 'a b' 'c d'"},
    {"tabs, quotes and backslashes in names", "t=$(printf 'a\\tb'); lines 9 >\"$t\"; lines 9 >'q\"q'; lines 9 >'b\\b'",
     "t=$(printf 'a\\tb'); sed -i 2d \"$t\"; sed -i 2d 'q\"q'; mv 'b\\b' 'b\\\\b'; : >\"'\""},
    {"a newline in a name", "n=$(printf 'a\\nb'); lines 9 >\"$n\"",
     "n=$(printf 'a\\nb'); sed -i 2d \"$n\"; cp \"$n\" \"$n.2\""},
    {"names in other alphabets", "lines 9 >ünï; lines 40 >дом", "sed -i 2d ünï; mv дом 家; : >'é è'"},
    {"names that are no UTF-8", "n=$(printf 'a\\377'); lines 9 >\"$n\"",
     "n=$(printf 'a\\377'); sed -i 2d \"$n\"; chmod +x \"$n\""},
    {"names like a prefix", "mkdir -p a/b b/a; lines 9 >a/b/f; lines 9 >b/a/f; lines 9 >a/f",
     "sed -i 2d a/b/f; rm b/a/f; chmod +x a/f; : >b/f"},
    {"names like options", ":", "lines 3 >-f; mkdir -- --x; lines 3 >./--x/y"},
    {"a name like no file's", "mkdir -p dev; lines 9 >dev/null", "sed -i 2d dev/null"},
    {"very deep", "d=$(yes d | head -100 | tr '\\n' /); mkdir -p $d; lines 9 >$d/f",
     "d=$(yes d | head -100 | tr '\\n' /); sed -i 2d $d/f; lines 9 >$d/g"},
    {"many at once", "for i in $(seq 60); do lines $i >f$i; done",
     "for i in $(seq 1 3 60); do sed -i 1d f$i; done; for i in $(seq 2 3 60); do mv f$i g$i; done; rm f60"},
};

const std::vector<Options> forms = {
    {},
    {"-M", "--full-index"},
    {"-C", "-C", "--find-copies-harder"},
    {"-U0"},
    {"-U1", "--src-prefix=i/", "--dst-prefix=w/"},
    {"--no-prefix", "--no-renames"},
    {"--no-prefix", "-M"},
    {"-B", "-M", "--patience"},
    {"-W", "--inter-hunk-context=3"},
};

// The tree that the diff makes of the one before.
std::map<std::string, std::string> applied(test::GitTree& tree, const std::string& diff) {
  const std::filesystem::path folder = tree.fresh();
  files::Tree target(folder, std::nullopt);
  repo::apply_diff(diff, target, tree.scratch());
  return test::tree_of(folder);
}

std::string joined(const Options& options) {
  std::string text;
  for (const std::string& option : options) text += option + " ";
  return text;
}

}  // namespace

TEST_CASE("every kind of change applies in every form of a diff") {
  for (const Kind& kind : kinds) {
    CAPTURE(kind.name);
    test::GitTree tree(words + kind.before);
    tree.change(words + kind.change);
    const auto after = test::tree_of(tree.after());
    for (const Options& options : forms) {
      CAPTURE(joined(options));
      const std::string diff = tree.diff(options);
      REQUIRE_FALSE(diff.empty());
      CHECK(applied(tree, diff) == after);
    }
  }
}

TEST_CASE("a diff of no changes changes nothing") {
  test::GitTree tree("echo x >f");
  CHECK(applied(tree, "") == test::tree_of(tree.before()));
  CHECK(applied(tree, "\n") == test::tree_of(tree.before()));
}

TEST_CASE("files that git does not know yet come as a client sends them") {
  test::GitTree tree("seq 10 >f");
  tree.change("seq 5 >'a b'; : >ü; ln -s f l");
  std::string diff;
  for (const char* name : {"a b", "ü", "l"}) {
    // Its exit status says that there is a difference.
    diff +=
        os::run_command({.arguments = {"git", "-C", tree.after(), "diff", "--binary", "--no-index", "/dev/null", name}})
            .output;
  }
  CHECK(applied(tree, diff) == test::tree_of(tree.after()));
}

namespace {

// A script of random changes to the files of a folder; the same for the same seed.
class Changes {
 public:
  explicit Changes(unsigned seed) : random_(seed) {}

  std::string before() {
    std::string script;
    for (unsigned i = 0; i < 12; ++i) script += make(name());
    return script;
  }
  std::string change() {
    std::string script = "cd .; files() { git ls-files -z | tr '\\n\\0' '?\\n' | sort; };\n";
    for (unsigned i = 0; i < 10; ++i) {
      // The n-th file of those that are there now; may be gone by then.
      script += "f=$(find . -path ./.git -prune -o \\( -type f -o -type l \\) -print | sort | sed -n " + number(1, 12) +
                "p)\n";
      script += "if [ -n \"$f\" ]; then :\n" + step() + "fi\n";
    }
    return script;
  }

 private:
  std::string number(unsigned low, unsigned high) {
    return std::to_string(std::uniform_int_distribution<unsigned>(low, high)(random_));
  }
  std::string name() {
    static const std::vector<std::string> parts = {"a", "b", "c d", "é", "q\"", "-x", "a/b", "b/c/d", "sub dir/e"};
    const auto part = [&] { return parts[std::uniform_int_distribution<std::size_t>(0, parts.size() - 1)(random_)]; };
    return part() + "-" + part() + number(0, 99);
  }
  std::string make(const std::string& path) {
    const std::string place = "p='./" + path + "'; mkdir -p \"$(dirname \"$p\")\" && rm -rf \"$p\" && ";
    switch (std::uniform_int_distribution<int>(0, 5)(random_)) {
      case 0: return place + "bytes " + number(1, 3000) + " >\"$p\"\n";
      case 1: return place + "ln -s 'target " + number(1, 9) + "' \"$p\"\n";
      case 2: return place + "{ lines " + number(1, 80) + "; printf end; } >\"$p\"\n";
      case 3: return place + "lines " + number(0, 5) + " >\"$p\" && chmod +x \"$p\"\n";
      default: return place + "lines " + number(10, 200) + " >\"$p\"\n";
    }
  }
  std::string step() {
    switch (std::uniform_int_distribution<int>(0, 8)(random_)) {
      case 0: return "rm -f \"$f\"\n";
      case 1:
        return "p='./" + name() + "'; mkdir -p \"$(dirname \"$p\")\" && [ ! -e \"$p\" ] && mv \"$f\" \"$p\" || :\n";
      case 2: return "p='./" + name() + "'; mkdir -p \"$(dirname \"$p\")\" && cp -a \"$f\" \"$p\" || :\n";
      case 3: return "[ -h \"$f\" ] || chmod +x \"$f\"\n";
      case 4: return make(name());
      case 5: return "[ -h \"$f\" ] || printf tail >>\"$f\"\n";
      case 6: return "rm \"$f\" && ln -s other \"$f\"\n";
      default:
        return "[ -h \"$f\" ] || sed -i -e '" + number(1, 20) + "d' -e '" + number(1, 90) + "a added' -e '" +
               number(1, 200) + "s/a/b/' \"$f\"\n";
    }
  }
  std::mt19937 random_;
};

}  // namespace

TEST_CASE("random changes of random trees apply") {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    Changes changes(seed);
    test::GitTree tree(words + changes.before());
    tree.change(words + changes.change());
    const auto after = test::tree_of(tree.after());
    for (const Options& options : {Options{}, Options{"-C", "-C", "-U0"}, Options{"-B", "-M", "--no-prefix"}}) {
      CAPTURE(joined(options));
      CHECK(applied(tree, tree.diff(options)) == after);
    }
  }
}
