// One call by the fetch that Node brings. Arguments: URL, token.
const answer = await fetch(process.argv[2], { headers: { Authorization: `Bearer ${process.argv[3]}` } });
console.log(answer.status);
