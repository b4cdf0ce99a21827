// Reads a list of URLs as JSON from standard input, relative to the argument, and prints the subject that each answers with.

let input = "";
for await (const chunk of process.stdin) input += chunk;
const subjects = [];
for (const url of JSON.parse(input)) {
  const response = await fetch(new URL(url, process.argv[2]));
  subjects.push(response.ok ? (await response.json()).subject : `${response.status} ${await response.text()}`);
}
console.log(JSON.stringify(subjects));
